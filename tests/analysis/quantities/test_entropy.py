"""Entropy: that of a Gaussian law, by its density and by its score alone."""

import math

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from analysis import Exact, SpectralStein, entropy
from simulations import OrnsteinUhlenbeck, simulate

TRAP = OrnsteinUhlenbeck(drift_matrix=((-1.0, -1.0), (0.5, -0.7)), noise_matrix=((0.3, 0.0), (0.4, 0.8)))


class ScoreAlone:
    """The exact score without its density."""

    def score(self, state: Tensor, time: Tensor) -> Tensor:
        return Exact(TRAP).score(state, time)


@pytest.fixture(scope="module")
def data() -> xr.Dataset:
    return simulate(TRAP, paths=20_000, duration=1.0, dt=0.05, scheme="exact-linear", dtype="float64", seed=1)


@pytest.fixture(scope="module")
def known(data: xr.Dataset) -> np.ndarray:
    covariance = TRAP.covariance(torch.tensor(data["time"].values))
    return (0.5 * torch.logdet(2 * math.pi * math.e * covariance)).numpy()


@pytest.mark.parametrize("density", [TRAP, Exact(TRAP)], ids=["process", "reference"])
def test_entropy_of_a_gaussian_law_from_its_density(
    data: xr.Dataset, known: np.ndarray, density: OrnsteinUhlenbeck | Exact
) -> None:
    result = entropy(TRAP, density, data)
    assert result.attrs["method"] == "mean log density"
    assert (np.abs(result["value"] - known) < 5 * result["standard_error"]).all()
    assert float(result["standard_error"].max()) < 0.05 * float(np.ptp(known))


def test_entropy_of_a_gaussian_law_from_its_score_alone(data: xr.Dataset, known: np.ndarray) -> None:
    result = entropy(TRAP, ScoreAlone(), data)
    assert result.attrs["method"] == "integral of the rate"
    # The trapezoidal rule over steps of 0.05 is off by some 1e-3.
    assert (np.abs(result["value"] - known) < 5 * result["standard_error"] + 2e-3).all()
    assert float(np.abs(result["value"] - known - 0.1).min()) > 5 * float(result["standard_error"].max())


def test_a_later_start_needs_the_entropy_there(data: xr.Dataset, known: np.ndarray) -> None:
    late = data.isel(time=slice(5, None))
    with pytest.raises(ValueError, match="`initial`"):
        entropy(TRAP, ScoreAlone(), late)
    result = entropy(TRAP, ScoreAlone(), late, initial=float(known[5]))
    assert (np.abs(result["value"] - known[5:]) < 5 * result["standard_error"] + 2e-3).all()


def test_a_reference_without_a_density_is_taken_by_its_score(data: xr.Dataset) -> None:
    few = data.isel(path=slice(2000), time=slice(10, None, 5))
    assert not SpectralStein(TRAP, few).has_density
    result = entropy(TRAP, SpectralStein(TRAP, few), data.isel(time=slice(10, None, 5)), initial=0.0)
    assert result.attrs["method"] == "integral of the rate"
