"""What the exact answers of processes are checked with: their generator, their Fokker-Planck operator, simulations."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from physcore import Process
from physcore.trajectory import frames
from simulations import simulate

Function = Callable[[Tensor], Tensor]


@pytest.fixture(scope="session")
def points() -> Callable[[int], Tensor]:
    """States of a dimension, a little wider than the standard normal."""
    return lambda dimension: (
        1.3 * torch.randn(50, dimension, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    )


@pytest.fixture(scope="session")
def generator_of() -> Callable[[Process, Function, Tensor], Tensor]:
    """Return the generator applied to a function, f . grad + tr(G G^T Hessian) / 2, at states and time zero."""

    def apply(process: Process, function: Function, state: Tensor) -> Tensor:
        time = torch.zeros((), dtype=torch.float64)
        noise = process.noise_for(state, time)
        slope = torch.func.vmap(torch.func.grad(function))(state)
        curvature = torch.func.vmap(torch.func.hessian(function))(state)
        return (process.drift(state, time) * slope).sum(-1) + 0.5 * (noise @ noise.mT * curvature).sum((-2, -1))

    return apply


@pytest.fixture(scope="session")
def change_of_density() -> Callable[[Process, Function, Tensor], Tensor]:
    """Return the Fokker-Planck operator applied to a density over the density: zero where it is stationary."""

    def apply(process: Process, log_density: Function, state: Tensor) -> Tensor:
        time = torch.zeros((), dtype=torch.float64)
        noise = process.noise_for(state, time)
        score = torch.func.vmap(torch.func.grad(log_density))(state)
        curvature = torch.func.vmap(torch.func.hessian(log_density))(state)
        divergence = process.jacobian(state, time).diagonal(dim1=-2, dim2=-1).sum(-1)
        spread = noise @ noise.mT * (curvature + score[..., None] * score[..., None, :])
        return 0.5 * spread.sum((-2, -1)) - divergence - (process.drift(state, time) * score).sum(-1)

    return apply


@pytest.fixture(scope="session")
def stationary_z() -> Callable[..., dict[str, float]]:
    """Return the deviation of each known moment from its stationary value, in standard errors, after a simulation."""

    def measure(process: Process, *, duration: float, dt: float, paths: int = 4096) -> dict[str, float]:
        steps = round(duration / dt)
        run = simulate(process, paths=paths, duration=duration, dt=dt, save_every=steps, dtype="float64", seed=5)
        state = frames(process, run, torch.float64)[-1]
        z = {}
        for moment in process.known_moments:
            values = moment.observable(state)
            assert values.shape == (paths,)
            exact = float(moment.expectation(torch.tensor(torch.inf)))
            z[moment.name] = float((values.mean() - exact) / (values.std() / paths**0.5))
        return z

    return measure
