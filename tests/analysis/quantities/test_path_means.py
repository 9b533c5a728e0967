"""Means over paths: their errors, the same numbers for any number of ranks, and what is refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from analysis import (
    Exact,
    energy_distance,
    entropy,
    entropy_production_rate,
    fisher_information,
    log_density_error,
    path_residual,
    probability_current,
    sliced_wasserstein_distance,
    stein_identities,
)
from analysis.quantities.path_means import PathMeans, sums_of, sums_of_products
from physcore import Process
from physcore.errors import NumericalError
from physcore.score import MLP, LocalScore
from simulations import ActiveSwimmer, BreathingParabola, simulate

PROCESS = BreathingParabola()
WIDER = BreathingParabola(diffusivity=1.2)
EXACT = Exact(PROCESS)
QUANTITIES: dict[str, Callable[..., xr.Dataset]] = {
    "entropy production": lambda data, **ranks: entropy_production_rate(PROCESS, EXACT, data, **ranks),
    "entropy": lambda data, **ranks: entropy(PROCESS, EXACT, data, **ranks),
    "Fisher information": lambda data, **ranks: fisher_information(PROCESS, EXACT, data, **ranks),
    "Stein identities": lambda data, **ranks: stein_identities(PROCESS, EXACT, data, **ranks),
    "current": lambda data, **ranks: probability_current(PROCESS, EXACT, data, [np.linspace(-3, 3, 7)], **ranks),
    "log density error": lambda data, **ranks: log_density_error(PROCESS, PROCESS, WIDER, data, **ranks),
    "path residual": lambda data, **ranks: path_residual(PROCESS, EXACT, data, **ranks),
    "energy distance": lambda data, **ranks: energy_distance(PROCESS, data, data + 0.1, **ranks),
    "Wasserstein distance": lambda data, **ranks: sliced_wasserstein_distance(PROCESS, data, data + 0.1, **ranks),
}


@pytest.fixture(scope="module")
def data() -> xr.Dataset:
    return simulate(PROCESS, paths=5000, duration=0.4, dt=0.1, seed=1)


@pytest.mark.parametrize("quantity", QUANTITIES.values(), ids=QUANTITIES)
def test_e11_numbers_do_not_depend_on_the_ranks(
    data: xr.Dataset, quantity: Callable[..., xr.Dataset], in_ranks: Callable[..., list[Any]]
) -> None:
    alone = quantity(data)
    for result in in_ranks(3, lambda ranks: quantity(data, communicator=ranks)):
        xr.testing.assert_identical(result, alone)


@pytest.mark.parametrize("quantity", QUANTITIES.values(), ids=QUANTITIES)
def test_an_estimate_has_value_and_standard_error_and_can_be_written(
    data: xr.Dataset, quantity: Callable[..., xr.Dataset], tmp_path: Any
) -> None:
    kept = data.copy(deep=True)
    result = quantity(data)
    xr.testing.assert_identical(data, kept)
    assert result["value"].dims == result["standard_error"].dims
    assert not (result["standard_error"] < 0).any()
    result.to_netcdf(tmp_path / "estimate.nc")
    with xr.open_dataset(tmp_path / "estimate.nc", decode_times=False) as read:
        xr.testing.assert_equal(read.load(), result)
    xr.testing.assert_identical(quantity(data.transpose("time", "path")), result)


@pytest.mark.parametrize("quantity", QUANTITIES.values(), ids=QUANTITIES)
def test_c6_a_state_that_is_not_finite_is_an_error_with_its_place(
    data: xr.Dataset, quantity: Callable[..., xr.Dataset]
) -> None:
    bad = data.copy(deep=True)
    bad["x"][17, 2] = np.nan
    with pytest.raises(NumericalError, match=r"time 0\.2"):
        quantity(bad)


def test_means_errors_and_paths_that_do_not_count() -> None:
    values = torch.randn(50, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 5
    known = torch.arange(50) % 3 > 0
    means = PathMeans.of(sums_of(values, known))
    kept = values[known]
    np.testing.assert_allclose(means.value, kept.mean(0), rtol=1e-12)
    np.testing.assert_allclose(means.standard_error, kept.std(0) / len(kept) ** 0.5, rtol=1e-9)
    products = PathMeans.of(sums_of_products(values[:, :2], values, known))
    every = (kept[:, :2, None] * kept[:, None, :]).reshape(len(kept), -1)
    np.testing.assert_allclose(products.value.ravel(), every.mean(0), rtol=1e-12)
    np.testing.assert_allclose(products.standard_error.ravel(), every.std(0) / len(kept) ** 0.5, rtol=1e-9)


def test_no_path_gives_no_number_and_one_path_no_error() -> None:
    none, one = (PathMeans.of(sums_of(torch.ones(2, 1), torch.tensor([False, flag]))) for flag in (False, True))
    assert np.isnan(none.value).all()
    assert one.value == 1
    assert np.isnan(one.standard_error).all()


def untrained(process: Process, components: Any) -> LocalScore:
    ones = [1.0] * process.dimension
    with torch.random.fork_rng(devices=[]):
        return LocalScore(
            process,
            (0.2, 0.5),
            window=0.6,
            start=0.0,
            center=ones,
            scale=ones,
            drift_scale=ones,
            network=MLP(),
            components=components,
        )


def test_a_learned_score_is_asked_only_for_what_it_holds_and_when() -> None:
    swimmer = ActiveSwimmer()
    data = simulate(swimmer, paths=200, duration=0.6, dt=0.1, seed=1)
    driven = untrained(swimmer, "driven")
    np.testing.assert_allclose(stein_identities(swimmer, driven, data)["time"], [0.2, 0.3, 0.4, 0.5])
    assert list(fisher_information(swimmer, driven, data)["component"].values) == ["v"]
    with pytest.raises(ValueError, match=r"0\.6.*not trained"):
        stein_identities(swimmer, driven, data, times=[0.6])
    with pytest.raises(ValueError, match="not saved"):
        stein_identities(swimmer, driven, data, times=[0.25])
    with pytest.raises(ValueError, match="no saved time"):
        stein_identities(swimmer, driven, data.isel(time=[0, 1]))
    gyrating = untrained(swimmer, "all")
    with pytest.raises(ValueError, match="components"):
        stein_identities(PROCESS, gyrating, simulate(PROCESS, paths=100, duration=0.3, dt=0.1, seed=1))


def test_what_is_no_score_and_one_path_are_refused(data: xr.Dataset) -> None:
    with pytest.raises(TypeError, match="score"):
        stein_identities(PROCESS, object(), data)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`path`"):
        stein_identities(PROCESS, EXACT, data.isel(path=[0]))
