"""Entropy: that of a Gaussian law, by its density and by its score alone."""

import math

import numpy as np
import pytest
import torch
import xarray as xr

from analysis import Exact, entropy
from simulations import OrnsteinUhlenbeck, simulate

TRAP = OrnsteinUhlenbeck(drift_matrix=((-1.0, -1.0), (0.5, -0.7)), noise_matrix=((0.3, 0.0), (0.4, 0.8)))


@pytest.fixture(scope="module")
def data() -> xr.Dataset:
    return simulate(TRAP, paths=20_000, duration=1.0, dt=0.05, scheme="exact-linear", dtype="float64", seed=1)


@pytest.fixture(scope="module")
def known(data: xr.Dataset) -> np.ndarray:
    covariance = TRAP.covariance(torch.tensor(data["time"].values))
    return (0.5 * torch.logdet(2 * math.pi * math.e * covariance)).numpy()


def test_entropy_of_a_gaussian_law_from_its_density(data: xr.Dataset, known: np.ndarray) -> None:
    result = entropy(TRAP, TRAP, data)
    assert result.attrs["method"] == "mean log density"
    assert (np.abs(result["value"] - known) < 5 * result["standard_error"]).all()
    assert float(result["standard_error"].max()) < 0.05 * float(np.ptp(known))


def test_entropy_of_a_gaussian_law_from_its_score_alone(data: xr.Dataset, known: np.ndarray) -> None:
    result = entropy(TRAP, Exact(TRAP), data)
    assert result.attrs["method"] == "integral of the rate"
    # The trapezoidal rule over steps of 0.05 is off by some 1e-3.
    assert (np.abs(result["value"] - known) < 5 * result["standard_error"] + 2e-3).all()
    assert float(np.abs(result["value"] - known - 0.1).min()) > 5 * float(result["standard_error"].max())


def test_a_later_start_needs_the_entropy_there(data: xr.Dataset, known: np.ndarray) -> None:
    late = data.isel(time=slice(5, None))
    with pytest.raises(ValueError, match="`initial`"):
        entropy(TRAP, Exact(TRAP), late)
    result = entropy(TRAP, Exact(TRAP), late, initial=float(known[5]))
    assert (np.abs(result["value"] - known[5:]) < 5 * result["standard_error"] + 2e-3).all()
