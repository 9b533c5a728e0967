"""Error of a score without a reference: a bound that holds, and that vanishes with the error."""

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from analysis import path_residual
from physcore import Process, SolvableProcess
from simulations import BreathingParabola, OrnsteinUhlenbeck, OverdampedLangevin, simulate
from simulations.potentials import DoubleWellPotential

PARABOLA = BreathingParabola()
TRAP = OrnsteinUhlenbeck(drift_matrix=((-1.0, 1.0), (0.0, -0.7)), noise_matrix=((0.0,), (0.8,)))


class Bent:
    """The exact score, stretched, shifted and bent."""

    def __init__(self, process: SolvableProcess, size: float) -> None:
        self.process, self.size = process, size

    def score(self, state: Tensor, time: Tensor) -> Tensor:
        exact = self.process.score(state, time)
        return exact + self.size * (exact + torch.sin(2 * state) + 0.5)


def sampled(process: SolvableProcess) -> xr.Dataset:
    return simulate(process, paths=500, duration=1.0, dt=0.05, scheme="heun", dtype="float64", seed=1)


def true_error(process: SolvableProcess, score: Bent, data: xr.Dataset) -> float:
    """Return the relative error at the end."""
    states = torch.from_numpy(np.stack([data[v.name].values[:, -1] for v in process.variables], -1))
    time = torch.tensor(1.0, dtype=torch.float64)
    given = score.score(states, time)
    return float((given - process.score(states, time)).square().sum() / given.square().sum())


@pytest.mark.parametrize("process", [PARABOLA, TRAP], ids=["in time", "driven in part"])
def test_the_bound_holds_and_is_of_the_order_of_the_error(process: SolvableProcess) -> None:
    data = sampled(process)
    exact = path_residual(process, Bent(process, 0.0), data)
    assert float(exact["value"].max()) < 1e-6
    bounds = []
    for size in (0.05, 0.1):
        score = Bent(process, size)
        bound = float(path_residual(process, score, data)["value"].sel(selection="full")[-1])
        error = true_error(process, score, data)
        assert error < bound < 6 * error
        bounds.append(bound)
    assert 3 < bounds[1] / bounds[0] < 5, "an error twice as large counts four times"


class Boltzmann:
    """The score of the stationary law, which is not linear."""

    def __init__(self, process: Process) -> None:
        self.process = process

    def score(self, state: Tensor, time: Tensor) -> Tensor:
        return self.process.stationary_score(state)


def test_a_stationary_score_leaves_no_residual_of_its_equation_along_any_path() -> None:
    process = OverdampedLangevin(potential=DoubleWellPotential())
    data = simulate(process, paths=200, duration=0.2, dt=0.01, dtype="float64", seed=1)
    stationary = Boltzmann(process)
    result = path_residual(process, stationary, data, start=stationary)
    assert float(result["value"].max()) < 1e-6


def test_it_may_begin_with_a_score_that_is_trusted() -> None:
    late = sampled(PARABOLA).isel(time=slice(5, None))
    with pytest.raises(ValueError, match="`start`"):
        path_residual(PARABOLA, Bent(PARABOLA, 0.1), late)
    result = path_residual(PARABOLA, Bent(PARABOLA, 0.1), late, start=PARABOLA)
    assert float(result["value"].isel(time=-1).min()) > 1e-3
    assert list(result["selection"].values) == ["full", "driven", "x"]
    with pytest.raises(ValueError, match="`times`"):
        path_residual(PARABOLA, PARABOLA, late, times=[0.5], start=PARABOLA)
