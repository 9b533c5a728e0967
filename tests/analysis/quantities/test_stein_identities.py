"""Stein identities: an exact score obeys them, a wrong one is found without a reference."""

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from analysis import Exact, Reference, stein_identities
from simulations import OrnsteinUhlenbeck, simulate

TRAP = OrnsteinUhlenbeck(
    drift_matrix=((-1.0, -1.0), (0.5, -0.7)),
    noise_matrix=((0.3, 0.0), (0.4, 0.8)),
    initial_mean=(2.0, -1.0),
    initial_covariance=((0.5, 0.1), (0.1, 0.2)),
)


@pytest.fixture(scope="module")
def data() -> xr.Dataset:
    return simulate(TRAP, paths=20_000, duration=1.0, dt=0.25, scheme="exact-linear", dtype="float64", seed=1)


class Off(Reference):
    """The exact score, stretched and shifted."""

    def __init__(self, stretch: float, shift: float) -> None:
        self.stretch, self.shift = stretch, shift

    def score(self, state: Tensor, time: Tensor | float) -> Tensor:
        return self.stretch * TRAP.score(state, torch.as_tensor(time)) + self.shift


def test_an_exact_score_obeys_them(data: xr.Dataset) -> None:
    result = stein_identities(TRAP, Exact(TRAP), data)
    assert result["value"].dims == ("time", "moment", "component")
    assert list(result["moment"].values) == ["one", "x0", "x1"]
    np.testing.assert_array_equal(result["expected"], [[0, 0], [-1, 0], [0, -1]])
    assert float(np.abs(result["deviation"]).max()) < 5
    assert float(np.abs(result["value"] - result["expected"]).max()) < 0.2


@pytest.mark.parametrize(
    ("stretch", "shift", "moment"), [(1.2, 0.0, "x1"), (1.0, 0.2, "one")], ids=["stretch", "shift"]
)
def test_a_wrong_score_is_found(data: xr.Dataset, stretch: float, shift: float, moment: str) -> None:
    result = stein_identities(TRAP, Off(stretch, shift), data)
    assert float(np.abs(result["deviation"].sel(moment=moment, component="x1")).min()) > 8


def test_means_and_errors_equal_brute_force(data: xr.Dataset) -> None:
    result = stein_identities(TRAP, Exact(TRAP), data, times=[0.5]).isel(time=0)
    states = torch.from_numpy(np.stack([data[name].sel(time=0.5).values for name in ("x0", "x1")], -1))
    products = states[:, 0] * TRAP.score(states, torch.tensor(0.5, dtype=torch.float64))[:, 1]
    entry = result.sel(moment="x0", component="x1")
    assert float(entry["value"]) == pytest.approx(float(products.mean()), rel=1e-9)
    assert float(entry["standard_error"]) == pytest.approx(float(products.std()) / len(products) ** 0.5, rel=1e-9)
