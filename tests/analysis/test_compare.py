"""Comparing scores: exact is exact, a known perturbation gives its own square, ranks do not matter."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from analysis import Exact, Reference, compare
from analysis.comparison import Comparison
from analysis.quantities.path_means import PathMeans, sums_of_ratio
from analysis.table import error_table
from physcore.errors import DataFileError, NumericalError
from physcore.score import ScoreModel
from physcore.score.components import Components, Selection
from physcore.score.model import Prepared, Rows, ScoreFrame
from simulations import DoubleWell, OrnsteinUhlenbeck, simulate

TRAP = OrnsteinUhlenbeck(
    drift_matrix=((-1.0, -1.0), (0.5, -0.7)), noise_matrix=((0.0,), (0.8,)), initial_covariance=((0.5, 0.1), (0.1, 0.2))
)


@dataclasses.dataclass(frozen=True)
class Plain(ScoreFrame):
    """No frame at all."""

    learned: Components

    def weight(self, score: Tensor) -> Tensor:
        return self.learned.take(score)

    def unweight(self, weighted: Tensor) -> Tensor:
        return self.learned.place(weighted)

    def rows(self, rows: Rows) -> "Plain":
        return self


class Perturbed(ScoreModel):
    """The exact score, with each component stretched by a factor of its own."""

    def __init__(
        self, *stretch: float, time_range: tuple[float, float] = (0.25, 1.0), components: Selection = "all"
    ) -> None:
        super().__init__(TRAP, time_range, components=components)
        self.stretch = torch.nn.Parameter(torch.tensor(stretch, dtype=torch.float64))

    @property
    def options(self) -> dict[str, Any]:
        return {}

    def prepare(self, state: Tensor, time: Tensor) -> Prepared:
        return Prepared(TRAP.score(state, time).unsqueeze(-1), time.unsqueeze(-1), Plain(self.learned))

    def weighted(self, prepared: Prepared) -> Tensor:
        return self.learned.take((1 + self.stretch) * prepared.features[..., 0])


@pytest.fixture(scope="module")
def data() -> xr.Dataset:
    return simulate(TRAP, paths=1000, duration=1.0, dt=0.05, save_every=5, dtype="float64", seed=1)


def test_the_exact_score_has_no_error(data: xr.Dataset) -> None:
    result = compare(Perturbed(0.0, 0.0), Exact(TRAP), data)
    assert result["value"].dims == ("reference", "selection", "time")
    np.testing.assert_array_equal(result["time"], [0.25, 0.5, 0.75, 1.0])
    assert float(np.abs(result["value"]).max()) < 1e-12  # states pass through float32, both scores alike
    assert float(np.abs(result["standard_error"]).max()) < 1e-12


@pytest.mark.parametrize("eps", [1e-2, 0.3, -1.0])
def test_a_score_stretched_by_one_plus_eps_has_error_eps_squared(data: xr.Dataset, eps: float) -> None:
    result = compare(Perturbed(eps, eps), Exact(TRAP), data)
    np.testing.assert_allclose(result["value"], eps**2, rtol=1e-4)
    assert float(result["standard_error"].max()) < 1e-4 * eps**2


def test_components_and_driven_ones_have_errors_of_their_own(data: xr.Dataset) -> None:
    result = compare(Perturbed(0.1, 0.3), Exact(TRAP), data).sel(reference="exact")
    assert list(result["selection"].values) == ["full", "driven", "x0", "x1"]
    np.testing.assert_allclose(result["value"].sel(selection="x0"), 0.01, rtol=1e-4)
    np.testing.assert_allclose(result["value"].sel(selection="x1"), 0.09, rtol=1e-4)
    np.testing.assert_allclose(result["value"].sel(selection="driven"), 0.09, rtol=1e-4)
    norm = result["reference_norm"]
    full = 0.01 * norm.sel(selection="x0") + 0.09 * norm.sel(selection="x1")
    np.testing.assert_allclose(
        result["value"].sel(selection="full"), full / (norm.sel(selection="x0") + norm.sel(selection="x1")), rtol=1e-4
    )


def test_of_a_score_of_driven_components_nothing_else_is_reported(data: xr.Dataset) -> None:
    result = compare(Perturbed(0.1, 0.3, components="driven"), Exact(TRAP), data).sel(reference="exact")
    assert list(result["selection"].values) == ["full", "driven", "x0", "x1"]
    for selection in ("driven", "x1"):
        np.testing.assert_allclose(result["value"].sel(selection=selection), 0.09, rtol=1e-4)
    for name in ("value", "standard_error"):
        assert np.isnan(result[name].sel(selection=["full", "x0"])).all()
    assert result.attrs["components"] == "x1"
    assert result.attrs["Conventions"].startswith("CF-")
    table = error_table(result.expand_dims("reference"), [1.0]).splitlines()
    assert table[2].count("not trained") == 2
    assert table[2].endswith("9 ± 0")


def test_value_and_norm_equal_brute_force(data: xr.Dataset) -> None:
    result = compare(Perturbed(0.1, 0.3), Exact(TRAP), data, times=[0.5]).sel(reference="exact", time=0.5)
    states = torch.from_numpy(np.stack([data[name].sel(time=0.5).values for name in ("x0", "x1")], -1))
    exact = TRAP.score(states, torch.tensor(0.5, dtype=torch.float64))
    error = (torch.tensor([0.1, 0.3]) * exact).square().sum(-1)
    norm = exact.square().sum(-1)
    assert float(result["reference_norm"].sel(selection="full")) == pytest.approx(float(norm.mean()), rel=1e-4)
    assert float(result["value"].sel(selection="full")) == pytest.approx(float(error.mean() / norm.mean()), rel=1e-4)


def ratio_of(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> tuple[float, float]:
    columns = (torch.from_numpy(values).unsqueeze(-1) for values in (numerator, denominator))
    ratio = PathMeans.of_ratio(sums_of_ratio(*columns, torch.ones(len(numerator), dtype=torch.bool)))
    return float(ratio.value[0]), float(ratio.standard_error[0])


def ratio_samples(count: int, random: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    denominator = random.gamma(2.0, size=count)
    return 0.3 * denominator + 0.2 * random.gamma(1.0, size=count), denominator


def test_standard_error_of_a_ratio_is_the_spread_of_independent_repetitions() -> None:
    random = np.random.default_rng(1)
    estimates = [ratio_of(*ratio_samples(640, random)) for _ in range(1500)]
    values, errors = np.array(estimates).T
    spread = values.std()
    # The spread of 1500 values is itself known to 2 %, a standard error from 640 paths to a few percent each.
    assert abs(errors.mean() / spread - 1) < 5 * np.hypot(0.0183, 0.05 / 1500**0.5) + 0.01
    assert abs(values.mean() - (0.3 + 0.2 / 2)) < 5 * spread / 1500**0.5 + 0.01 * spread
    # A sibling: taking the denominator for a constant overstates the error, and must be noticed.
    naive = np.array([ratio_samples(640, random)[0].std() / 640**0.5 / 2 for _ in range(300)]).mean()
    assert abs(naive / spread - 1) > 0.2


def test_standard_error_of_a_ratio_equals_the_bootstrap() -> None:
    random = np.random.default_rng(2)
    numerator, denominator = ratio_samples(1600, random)
    value, error = ratio_of(numerator, denominator)
    picks = random.integers(0, 1600, (4000, 1600))
    resampled = numerator[picks].sum(1) / denominator[picks].sum(1)
    assert value == pytest.approx(numerator.sum() / denominator.sum(), rel=1e-14)
    assert error == pytest.approx(resampled.std(), rel=5 / (2 * 4000) ** 0.5)


def test_a_vanishing_reference_gives_no_number_and_no_warning() -> None:
    ones, known = torch.ones(4, 2), torch.ones(4, dtype=torch.bool)
    ratio = PathMeans.of_ratio(sums_of_ratio(ones, torch.tensor([[0.0, 1.0]] * 4), known))
    assert not np.isfinite(ratio.value[0])
    assert (ratio.value[1], ratio.standard_error[1]) == (1.0, 0.0)


def test_the_scatter_of_blocks_agrees_with_the_error_that_paths_predict(data: xr.Dataset) -> None:
    class Noisy(Perturbed):
        def weighted(self, prepared: Prepared) -> Tensor:
            return super().weighted(prepared) + prepared.features[..., 0].square()

    result = compare(Noisy(0.1, 0.3), Exact(TRAP), data).sel(selection="full")
    ratio = result["block_standard_error"] / result["standard_error"]
    assert float(np.abs(ratio - 1).max()) < 5 / (2 * 31) ** 0.5
    assert float(np.abs(ratio - 1).max()) > 1e-3, "one is not a copy of the other"


@pytest.mark.parametrize("size", [2, 3, 5])
def test_e11_numbers_do_not_depend_on_the_ranks(
    data: xr.Dataset, size: int, in_ranks: Callable[..., list[Any]]
) -> None:
    alone = compare(Perturbed(0.1, 0.3), Exact(TRAP), data, blocks=4)
    for result in in_ranks(
        size, lambda ranks: compare(Perturbed(0.1, 0.3), Exact(TRAP), data, blocks=4, communicator=ranks)
    ):
        xr.testing.assert_identical(result, alone)


def test_times_outside_the_trained_range_are_flagged_and_hold_no_number(data: xr.Dataset) -> None:
    score = Perturbed(0.1, 0.1, time_range=(0.4, 0.8))
    result = compare(score, Exact(TRAP), data, times=[0.25, 0.5, 1.0])
    np.testing.assert_array_equal(result["trained"], [0, 1, 0])
    assert np.isnan(result["value"].sel(time=[0.25, 1.0])).all()
    assert np.isfinite(result["value"].sel(time=0.5)).all()
    assert "not trained" in error_table(result, [0.25, 0.5])


class Halfway(Reference):
    """Knows only states with a positive first component."""

    def score(self, state: Tensor, time: Tensor | float) -> Tensor:
        exact = TRAP.score(state.double(), torch.as_tensor(float(time), dtype=torch.float64))
        return torch.where(state[..., :1] > 0, exact, torch.nan)


def test_e8_states_outside_a_reference_are_counted_and_left_out(data: xr.Dataset) -> None:
    result = compare(Perturbed(0.2, 0.2), {"half": Halfway()}, data, times=[0.5]).sel(reference="half", time=0.5)
    expected = float((data["x0"].sel(time=0.5) <= 0).mean())
    assert float(result["outside"]) == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(result["value"], 0.04, rtol=1e-4)
    assert np.isnan(float(result["reference_error"]))


def test_references_stand_side_by_side_with_their_own_errors(data: xr.Dataset) -> None:
    result = compare(Perturbed(0.2, 0.2), {"exact": Exact(TRAP), "half": Halfway()}, data)
    assert list(result["reference"].values) == ["exact", "half"]
    assert not result["reference_error"].sel(reference="exact").any()
    assert np.isnan(result["reference_error"].sel(reference="half")).all()
    assert not result["outside"].sel(reference="exact").any()


def test_estimates_have_a_value_and_a_standard_error_and_can_be_written(data: xr.Dataset, tmp_path: Any) -> None:
    result = compare(Perturbed(0.1, 0.3), Exact(TRAP), data)
    result.to_netcdf(tmp_path / "comparison.nc")
    with xr.open_dataset(tmp_path / "comparison.nc", decode_times=False) as read:
        xr.testing.assert_equal(read.load(), result)
    assert result["value"].attrs["units"] == "1"
    assert (result["standard_error"] >= 0).all()
    assert (result["standard_error"].sel(selection="full") > 0).all()


@pytest.mark.parametrize("blocks", [0, 1, 1001])
def test_blocks_that_do_not_fit_are_refused(data: xr.Dataset, blocks: int) -> None:
    with pytest.raises(ValueError, match="`blocks`"):
        compare(Perturbed(0.1, 0.3), Exact(TRAP), data, blocks=blocks)


def test_a_time_that_was_not_saved_is_refused_and_the_nearest_named(data: xr.Dataset) -> None:
    with pytest.raises(ValueError, match=r"0\.4.*0\.5"):
        compare(Perturbed(0.1, 0.3), Exact(TRAP), data, times=[0.4])


def test_e3_a_learned_score_that_is_not_finite_is_an_error_with_its_time(data: xr.Dataset) -> None:
    with pytest.raises(NumericalError, match=r"0\.25"):
        compare(Perturbed(float("nan"), 0.0), Exact(TRAP), data)


def test_c6_states_that_are_not_finite_are_an_error_with_their_place(data: xr.Dataset) -> None:
    bad = data.copy(deep=True)
    bad["x1"][17, 2] = np.inf
    with pytest.raises(NumericalError, match=r"time 0\.5, path index"):
        compare(Perturbed(0.0, 0.0), Exact(TRAP), bad)


def test_c5_states_of_another_process_are_refused(data: xr.Dataset) -> None:
    with pytest.raises(DataFileError, match="x0"):
        compare(Perturbed(0.0, 0.0), Exact(TRAP), data.rename(x0="y"))


def test_input_is_left_untouched_and_dimensions_are_found_by_name(data: xr.Dataset) -> None:
    kept = data.copy(deep=True)
    plain = compare(Perturbed(0.1, 0.3), Exact(TRAP), data)
    turned = compare(Perturbed(0.1, 0.3), Exact(TRAP), data.transpose("time", "path"))
    xr.testing.assert_identical(plain, turned)
    xr.testing.assert_identical(data, kept)


def test_the_exact_reference_needs_a_closed_form() -> None:
    with pytest.raises(TypeError, match="SolvableProcess"):
        Exact(DoubleWell())


def test_the_exact_reference_answers_for_one_time_and_keeps_dtype() -> None:
    exact = Exact(TRAP)
    state = torch.randn(4, 2, generator=torch.Generator().manual_seed(1))
    answer = exact.score(state, 0.5)
    assert answer.dtype == torch.float32
    torch.testing.assert_close(answer, TRAP.score(state.double(), torch.tensor(0.5)).float())
    with pytest.raises(ValueError, match="one time"):
        exact.score(state, torch.zeros(4))
    assert repr(exact) == f"Exact({TRAP!r})"
    assert exact.error_estimate(0.5) == 0.0


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"blocks": 1}, "`blocks`"),
        ({"paths": 10}, "`blocks`"),
        ({"times": [float("nan")]}, "`times`"),
        ({"references": [{"tolerance": 1.0}]}, "`name`"),
    ],
    ids=str,
)
def test_d6_settings_out_of_range_are_refused_by_name(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Comparison(**settings)


def test_the_table_shows_values_with_the_digits_that_their_errors_allow(data: xr.Dataset) -> None:
    table = error_table(compare(Perturbed(0.1, 0.3), Exact(TRAP), data), [0.5, 1.0])
    lines = table.splitlines()
    assert "exact" in lines[0]
    assert len(lines) == 4
    assert lines[2].split()[0] == "0.5"
    assert "±" in lines[2]


def test_the_table_of_many_components_shows_their_summary() -> None:
    selections = ["full", "driven", *(f"x{i}" for i in range(100))]
    shape = (1, 1, len(selections))
    comparison = xr.Dataset(
        {
            "value": (("reference", "time", "selection"), np.full(shape, 0.01)),
            "standard_error": (("reference", "time", "selection"), np.full(shape, 0.001)),
            "reference_error": (("reference", "time"), np.zeros((1, 1))),
        },
        {"reference": ["exact"], "time": [1.0], "selection": selections},
    )
    assert "x0" not in error_table(comparison, [1.0])
    assert error_table(comparison, [1.0]).splitlines()[1].split() == ["t", "full", "driven"]
    few = comparison.isel(selection=slice(0, 6))
    assert error_table(few, [1.0]).splitlines()[1].split() == ["t", "full", "driven", "x0", "x1", "x2", "x3"]
