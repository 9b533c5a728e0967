"""Every registered scheme keeps to the orders that its class claims, on the same refined Brownian path."""

import dataclasses
import math
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from torch import Tensor

import simulations.integrators
from physcore import Process, Variable
from simulations import (
    SRA1,
    ActiveSwimmer,
    DoubleWell,
    Duffing,
    ExactLinear,
    HarmonicPotential,
    LocalLinearization,
    OrnsteinUhlenbeck,
    Scheme,
    UnderdampedLangevin,
)
from simulations.integrators.langevin_splitting import LangevinSplitting

Matrix = NDArray[np.float64]
Exported = Callable[[ModuleType], dict[str, Any]]

DURATION = 1.0
FINEST = 2048
STEPS = (16, 32, 64)


class Driven(Process):
    """A nonlinear process whose drift and noise both depend on time, with more noises than one."""

    variables = (Variable("x"), Variable("y"))

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        x, y = state.unbind(-1)
        phase = (3 * time).to(state.dtype)
        return torch.stack([y - x * x * x + torch.sin(phase), -y + torch.cos(x) * torch.cos(phase)], -1)

    def jacobian(self, state: Tensor, time: Tensor) -> Tensor:
        x = state[..., 0]
        one, across = torch.ones_like(x), -torch.sin(x) * torch.cos(3 * time).to(state.dtype)
        return torch.stack([torch.stack([-3 * x * x, one], -1), torch.stack([across, -one], -1)], -2)

    def noise(self, time: Tensor) -> Tensor:
        time = time.double()
        zero = torch.zeros_like(time)
        rows = [[0.5 + 0.4 * torch.sin(3 * time), zero + 0.2], [zero, 0.6 * torch.cos(2 * time)]]
        return torch.stack([torch.stack(row, -1) for row in rows], -2)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        return 0.5 * torch.randn(paths, 2, generator=generator, dtype=torch.float64)


PROCESSES: dict[str, Process] = {
    "double-well": DoubleWell(barrier=0.4),
    "active-swimmer": ActiveSwimmer(friction=1.0),
    "driven": Driven(),
    "duffing": Duffing(friction=1.5, temperature=0.5, mass=2.0, forcing=1.0, frequency=3.0),
}


@dataclasses.dataclass(frozen=True)
class BrownianPath:
    """Increments of a Wiener process and their time integrals from the start of each step, (step, path, noise)."""

    increments: Tensor
    integrals: Tensor

    @classmethod
    def sample(cls, steps: int, paths: int, noises: int, generator: torch.Generator) -> "BrownianPath":
        h = DURATION / steps
        first, second = torch.randn(2, steps, paths, noises, generator=generator, dtype=torch.float64)
        return cls(h**0.5 * first, h**1.5 / 2 * (first + second / 3**0.5))

    def coarsened(self, steps: int) -> "BrownianPath":
        """Return the same path on fewer steps; the integral of a long step is that of the walk up to each short one."""
        shape = (steps, len(self.increments) // steps, *self.increments.shape[1:])
        increments, integrals = self.increments.reshape(shape), self.integrals.reshape(shape)
        before = increments.cumsum(1) - increments
        return BrownianPath(increments.sum(1), (integrals + before * (DURATION / len(self.increments))).sum(1))

    def normals(self, count: int) -> Tensor:
        """Return the normals of a scheme: those of the increments, then the independent part of the integrals."""
        h, noises = DURATION / len(self.increments), self.increments.shape[-1]
        first = self.increments / h**0.5
        if count == noises:
            return first
        assert count == 2 * noises
        return torch.cat([first, 3**0.5 * (2 * self.integrals / h**1.5 - first)], -1)


def end(scheme: Scheme, process: Process, start: Tensor, path: BrownianPath) -> Tensor:
    """Return the states at the end of a Brownian path."""
    normals, state = path.normals(scheme.normals(process)), start
    dt = DURATION / len(normals)
    for k, numbers in enumerate(normals):
        state = scheme.step(process, state, torch.tensor(k * dt, dtype=torch.float64), dt, numbers)
    return state


@cache
def reference(name: str, paths: int = 256) -> tuple[Tensor, BrownianPath, Tensor]:
    """Return initial states, a refined Brownian path and the end of the exact path, by one scheme for all."""
    process, generator = PROCESSES[name], torch.Generator().manual_seed(4)
    start = process.sample_initial(paths, generator).double()
    fine = BrownianPath.sample(FINEST, paths, process.noise(torch.zeros(())).shape[-1], generator)
    return start, fine, end(SRA1(), process, start, fine)


def accepts(scheme: Scheme, process: Process, dt: float) -> bool:
    try:
        scheme.check(process, dt)
    except ValueError as error:
        refusal = str(error)
    else:
        return True
    assert type(process).__name__ in refusal or f"{dt:g}" in refusal
    assert "Use " in refusal
    return False


def slope(errors: list[float]) -> float:
    return float(np.polyfit(np.log(1 / np.array(STEPS)), np.log(errors), 1)[0])


def strong_order(scheme: Scheme, name: str) -> float:
    start, fine, exact = reference(name)
    ends = [end(scheme, PROCESSES[name], start, fine.coarsened(steps)) for steps in STEPS]
    return slope([float((state - exact).square().sum(-1).mean().sqrt()) for state in ends])


def check_order(observed: dict[str, float], claimed: float) -> None:
    """Every process keeps to the claim and the worst of them is no better than it."""
    assert min(observed.values()) > claimed - 0.2, f"claimed {claimed}, observed {observed}"
    assert min(observed.values()) < claimed + 0.4, f"claimed {claimed}, observed {observed}"


def strong_orders(scheme: Scheme) -> dict[str, float]:
    dt = DURATION / min(STEPS)
    return {name: strong_order(scheme, name) for name in PROCESSES if accepts(scheme, PROCESSES[name], dt)}


def test_strong_order_on_the_same_brownian_path_is_the_claimed_one(scheme: Scheme) -> None:
    if math.isinf(scheme.strong_order):
        assert not strong_orders(scheme)  # an exact law, of another path at every step
        return
    observed = strong_orders(scheme)
    assert observed
    check_order(observed, scheme.strong_order)
    with pytest.raises(AssertionError, match="claimed"):
        check_order(observed, scheme.strong_order + 0.5)


def largest_z(path: BrownianPath) -> float:
    """Return how far the normals of a path are from unit variance and from independence, in standard errors."""
    numbers = path.normals(2).reshape(-1, 2)
    products = torch.stack([numbers[:, 0].square() - 1, numbers[:, 1].square() - 1, numbers.prod(-1)])
    return float((products.mean(1) / products.std(1)).abs().max() * len(numbers) ** 0.5)


def test_a_brownian_path_keeps_its_law_when_it_is_coarsened() -> None:
    fine = BrownianPath.sample(64, 4096, 1, torch.Generator().manual_seed(2))
    coarse = fine.coarsened(8)
    assert largest_z(coarse) < 5
    assert largest_z(BrownianPath(coarse.increments, fine.integrals.reshape(8, 8, -1, 1).sum(1))) > 5
    torch.testing.assert_close(coarse.coarsened(4).integrals, fine.coarsened(4).integrals)


def test_a_scheme_takes_some_processes_and_refuses_others_with_a_reason(scheme: Scheme) -> None:
    taken = [accepts(scheme, process, 1e-3) for process in (*PROCESSES.values(), *LINEAR.values())]
    assert any(taken)
    assert all(taken) or isinstance(scheme, LangevinSplitting | ExactLinear)
    assert not isinstance(scheme, LocalLinearization) or not accepts(scheme, DoubleWell(), 100.0)


class DrivenLinear(Process):
    """A linear process under a force and a noise that depend on time."""

    variables = (Variable("x"), Variable("v"))

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        x, v = state.unbind(-1)
        return torch.stack([v, torch.cos(3 * time).to(state.dtype) - 2 * x - v], -1)

    def noise(self, time: Tensor) -> Tensor:
        strength = 0.7 + 0.5 * torch.sin(2 * time.double())
        return torch.stack([0.3 * strength, strength], -1).unsqueeze(-1)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        return torch.randn(paths, 2, generator=generator, dtype=torch.float64)


LINEAR: dict[str, Process] = {
    "rotating-trap": OrnsteinUhlenbeck.rotating_trap(rotation=2.0, diffusivity=0.5),
    "gyrator": OrnsteinUhlenbeck.brownian_gyrator(hot=3.0),
    "underdamped": OrnsteinUhlenbeck(drift_matrix=((0.0, 1.0), (-2.0, -1.0)), noise_matrix=((0.0,), (1.0,))),
    "harmonic-langevin": UnderdampedLangevin(potential=HarmonicPotential(stiffness=2.0), mass=0.8, friction=1.2),
    "driven": DrivenLinear(),
}
MEAN, COVARIANCE = np.array([1.0, -0.5]), np.array([[0.5, 0.1], [0.1, 0.2]])


@cache
def exact_moments(name: str) -> tuple[Matrix, Matrix]:
    """Return mean and covariance of a linear process at the end, by their differential equations."""
    process, origin = LINEAR[name], torch.zeros(2, dtype=torch.float64)
    matrix = process.jacobian(origin, torch.zeros((), dtype=torch.float64)).numpy()

    def rate(t: float, moments: Matrix) -> Matrix:
        time, covariance = torch.tensor(t, dtype=torch.float64), moments[2:].reshape(2, 2)
        drift = matrix @ moments[:2] + process.drift(origin, time).numpy()
        noise, turned = process.noise(time).numpy(), matrix @ covariance
        return np.concatenate([drift, (turned + turned.T + noise @ noise.T).ravel()])

    start = np.concatenate([MEAN, COVARIANCE.ravel()])
    moments = solve_ivp(rate, (0, DURATION), start, method="DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
    return moments[:2], moments[2:].reshape(2, 2)


def chain_moments(scheme: Scheme, process: Process, steps: int) -> tuple[Matrix, Matrix]:
    """Return the same moments of the chain, exactly: on a linear process a step is affine in state and normals."""
    dt, mean, covariance = DURATION / steps, MEAN, COVARIANCE
    r = scheme.normals(process)
    states = torch.cat([torch.zeros(1, 2), torch.eye(2), torch.zeros(r, 2)]).double()
    normals = torch.cat([torch.zeros(3, r), torch.eye(r)]).double()
    for time in torch.arange(steps, dtype=torch.float64) * dt:
        moved = scheme.step(process, states, time, dt, normals).numpy()
        propagator, noise = (moved[1:3] - moved[0]).T, (moved[3:] - moved[0]).T
        mean, covariance = propagator @ mean + moved[0], propagator @ covariance @ propagator.T + noise @ noise.T
    return mean, covariance


@pytest.mark.parametrize("name", LINEAR)
def test_weak_order_of_mean_and_covariance_is_at_least_the_claimed_one(scheme: Scheme, name: str) -> None:
    process = LINEAR[name]
    if not accepts(scheme, process, DURATION / min(STEPS)):
        return
    mean, covariance = exact_moments(name)
    errors = []
    for steps in STEPS:
        chain_mean, chain_covariance = chain_moments(scheme, process, steps)
        errors.append(float(np.linalg.norm(chain_mean - mean) + np.linalg.norm(chain_covariance - covariance)))
    if math.isinf(scheme.weak_order):
        assert max(errors) < 1e-9
    else:
        assert slope(errors) > scheme.weak_order - 0.2


@pytest.mark.one_of_each_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_step_is_pure_and_keeps_shape_and_dtype(scheme: Scheme, process: Process, dtype: torch.dtype) -> None:
    if not accepts(scheme, process, 0.01):
        return
    generator = torch.Generator().manual_seed(1)
    state = process.sample_initial(9, generator).to(dtype)
    normals = torch.randn(9, scheme.normals(process), generator=generator, dtype=dtype)
    kept = state.clone(), normals.clone()
    time = torch.tensor(0.0, dtype=torch.float64)
    moved = scheme.step(process, state, time, 0.01, normals)
    assert moved.shape == state.shape
    assert moved.dtype == dtype
    assert torch.equal(state, kept[0])
    assert torch.equal(normals, kept[1])
    assert torch.equal(moved, scheme.step(process, state, time, 0.01, normals))


@pytest.mark.parametrize("name", PROCESSES)
def test_bits_of_a_path_do_not_depend_on_the_number_of_paths(scheme: Scheme, name: str) -> None:
    process = PROCESSES[name]
    if not accepts(scheme, process, 0.01):
        return
    generator = torch.Generator().manual_seed(1)
    # Component by component in memory, as the simulator holds them.
    state = torch.randn(process.dimension, 1024, generator=generator, dtype=torch.float32).T
    normals = torch.randn(scheme.normals(process), 1024, generator=generator, dtype=torch.float32).T
    time = torch.tensor(0.3, dtype=torch.float64)
    moved = scheme.step(process, state, time, 0.01, normals)
    few = scheme.step(process, state[:7].T.contiguous().T, time, 0.01, normals[:7].T.contiguous().T)
    assert torch.equal(moved[:7], few)


def test_repr_is_the_constructor_call(scheme: Scheme, exported: Exported) -> None:
    assert eval(repr(scheme), exported(simulations.integrators)) == scheme


def test_a_scheme_says_its_noise_type(scheme: Scheme) -> None:
    assert scheme.noise_type in ("additive", "diagonal", "general")
    assert 0 < scheme.strong_order <= scheme.weak_order + 1
    assert isinstance(scheme.three_point, bool)
