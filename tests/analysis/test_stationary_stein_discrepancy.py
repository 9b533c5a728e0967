"""The discrepancy of a stationary score along paths."""

import math

import pytest
import torch
import xarray as xr
from torch import Tensor

from analysis import Reference, stationary_stein_discrepancy
from simulations import OrnsteinUhlenbeck, simulate

TRAP = OrnsteinUhlenbeck.rotating_trap(stiffness=1.0, rotation=0.5)


@pytest.fixture(scope="module")
def data() -> xr.Dataset:
    whole = simulate(TRAP, paths=4, duration=70.0, dt=0.25, scheme="exact-linear", dtype="float64", seed=3)
    return whole.sel(time=slice(10.0, None))


class Stationary(Reference):
    """The stationary score, stretched."""

    def __init__(self, stretch: float) -> None:
        self.stretch, self.law = stretch, TRAP.law(torch.tensor(50.0, dtype=torch.float64))

    def score(self, state: Tensor, time: Tensor | float) -> Tensor:
        return self.stretch * self.law.score(state)


def test_the_right_score_passes_and_a_wrong_one_does_not(data: xr.Dataset) -> None:
    right = stationary_stein_discrepancy(TRAP, Stationary(1.0), data, replicates=300)
    hasty = stationary_stein_discrepancy(TRAP, Stationary(1.0), data, memory=0.0, replicates=300)
    wrong = stationary_stein_discrepancy(TRAP, Stationary(1.8), data, replicates=300)
    assert right.sizes == {}
    assert float(right["p_value"]) > 0.02
    assert abs(float(right["value"])) < 4 * float(right["standard_error"])
    assert float(wrong["p_value"]) < 0.01
    assert float(wrong["value"]) > 2 * float(wrong["standard_error"])
    assert 2.0 < float(right["memory"]) < 20.0
    assert float(hasty["p_value"]) < float(right["p_value"]), "without memory correlation passes for a wrong score"


def test_frames_are_left_out_evenly(data: xr.Dataset) -> None:
    result = stationary_stein_discrepancy(TRAP, Stationary(1.0), data, memory=3.0, states=200, replicates=50)
    assert int(result["states"]) == 4 * math.ceil(data.sizes["time"] / 5) <= 200


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"memory": -1.0}, "`memory`"),
        ({"replicates": 0}, "`replicates`"),
        ({"states": 20}, "`states`"),
        ({"times": [10.0, 20.0]}, "10 frames"),
    ],
    ids=["memory", "replicates", "states", "frames"],
)
def test_bad_input_is_refused(data: xr.Dataset, options: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        stationary_stein_discrepancy(TRAP, Stationary(1.0), data, **options)  # type: ignore[arg-type]
