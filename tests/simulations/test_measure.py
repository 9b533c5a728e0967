"""What is measured while simulating is the mean over the paths that ``simulate`` gives."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from physcore.errors import NumericalError, Stopped
from physcore.stopping import StopRequest
from simulations import ActiveSwimmer, OrnsteinUhlenbeck, Simulation, measure, simulate

SETTINGS: dict[str, Any] = {"paths": 2500, "duration": 1.2, "dt": 0.02, "paths_per_block": 1024}
SEED = 7
OBSERVABLES: dict[str, Callable[[Tensor], Tensor]] = {
    "position": lambda state: state[:, 0],
    "energy": lambda state: state.square().sum(-1) / 2,
}


@pytest.mark.parametrize(
    "saving", [{"save_every": 10}, {"save_every": "final"}, {"save_times": (0.02, 0.5, 1.2)}], ids=str
)
def test_means_and_errors_are_those_of_the_paths(saving: dict[str, Any]) -> None:
    measured = measure(ActiveSwimmer(), OBSERVABLES, Simulation(**SETTINGS, **saving, frames_per_segment=2), seed=SEED)
    run = simulate(ActiveSwimmer(), **SETTINGS, **saving, seed=SEED)
    states = torch.from_numpy(np.stack([run["x"].values, run["v"].values], -1)).double()
    np.testing.assert_array_equal(measured["time"], run["time"])
    for name, function in OBSERVABLES.items():
        values = function(states.reshape(-1, 2)).reshape(states.shape[:2]).numpy()
        chosen = measured.sel(observable=name)
        np.testing.assert_allclose(chosen["value"], values.mean(0), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(chosen["standard_error"], values.std(0, ddof=1) / 50, rtol=1e-12)


def test_blocks_and_segments_change_nothing_but_the_last_bits() -> None:
    def measured(**changed: int) -> xr.Dataset:
        return measure(ActiveSwimmer(), OBSERVABLES, Simulation(**{**SETTINGS, "save_every": 5, **changed}), seed=SEED)

    plain, other = measured(), measured(paths_per_block=2048)
    np.testing.assert_allclose(plain["value"], other["value"], rtol=1e-12, atol=1e-15)
    assert plain.equals(measured(frames_per_segment=1))


def test_the_error_covers_the_exact_mean() -> None:
    trap = OrnsteinUhlenbeck.rotating_trap()
    settings = Simulation(**SETTINGS, scheme="exact-linear", save_every=20)
    measured = measure(trap, {"radius": lambda x: x.square().sum(-1)}, settings, seed=SEED)
    exact = trap.covariance(torch.tensor(measured["time"].values)).diagonal(dim1=-2, dim2=-1).sum(-1).numpy()
    z = (measured["value"][0] - exact) / measured["standard_error"][0]
    assert np.abs(z).max() < 5
    assert np.abs(z + 0.2 / measured["standard_error"][0]).max() > 5


def test_faults_are_named() -> None:
    with pytest.raises(ValueError, match="'wrong' must return one number for each path"):
        measure(ActiveSwimmer(), {"wrong": lambda state: state}, Simulation(**SETTINGS, save_every=20))
    with pytest.raises(NumericalError, match="'root' is not finite"):
        measure(ActiveSwimmer(), {"root": lambda state: state[:, 0].sqrt()}, Simulation(**SETTINGS, save_every=20))
    with pytest.raises(ValueError, match="one observable at least"):
        measure(ActiveSwimmer(), {}, Simulation(**SETTINGS, save_every=20))


def test_a_stop_is_heard(stop_after: Callable[[int], StopRequest]) -> None:
    with pytest.raises(Stopped):
        measure(ActiveSwimmer(), OBSERVABLES, Simulation(**SETTINGS, save_every=20), stop=stop_after(1))
