"""Weak orders on nonlinear processes without sampling error.

A step maps an observable u to E[u(step(x, xi))], computed at the nodes of a basis in which u is interpolated, with
quadrature in place of the normals, or the three-point numbers themselves. What the steps make of an observable is
compared with the solution of the backward Kolmogorov equation in the same basis.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.linalg
import torch
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from torch import Tensor

from physcore import Process, Variable
from physcore.registry import build, names
from simulations import CosinePotential, Scheme, UnderdampedLangevin
from simulations.integrators.langevin_splitting import LangevinSplitting

Array = NDArray[np.complex128]
Real = NDArray[np.float64]
Rule = tuple[Real, Real]

DURATION, STEPS = 1.0, (16, 32, 64)
POINTS, WEIGHTS = np.polynomial.hermite_e.hermegauss(7)
HERMITE: Rule = (POINTS, WEIGHTS / WEIGHTS.sum())
THREE_POINT: Rule = (math.sqrt(3) * np.array([-1.0, 0.0, 1.0]), np.array([1.0, 4.0, 1.0]) / 6)
TWO_POINT: Rule = (np.array([-1.0, 1.0]), np.array([0.5, 0.5]))
GENERAL = [name for name in names("physcore.schemes") if name != "exact-linear"]
SPLITTINGS = [name for name in GENERAL if isinstance(build("physcore.schemes", name, {}), LangevinSplitting)]
GENERAL = [name for name in GENERAL if name not in SPLITTINGS]


@dataclasses.dataclass(frozen=True)
class Ring(Process):
    """A phase on a circle under a drift and a noise that both depend on time."""

    variables = (Variable("x"),)

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        phase = (3 * time).to(state.dtype).unsqueeze(-1)
        return torch.sin(state) + 0.5 * torch.cos(2 * state) + 0.5 * torch.sin(phase) * torch.cos(state)

    def noise(self, time: Tensor) -> Tensor:
        return (0.8 + 0.3 * torch.sin(2 * time.double())).unsqueeze(-1).unsqueeze(-1)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        return torch.rand(paths, 1, generator=generator, dtype=torch.float64)


def fourier(x: Real, waves: int) -> tuple[Array, Array]:
    """Return the Fourier modes and their derivatives, shape (point, mode)."""
    number = np.arange(-waves, waves + 1)
    modes = np.exp(1j * np.outer(x, number))
    return modes, 1j * number * modes


def circle(waves: int) -> Real:
    return np.linspace(0, 2 * np.pi, 2 * waves + 1, endpoint=False)


def mean_step(
    scheme: Scheme, process: Process, time: float, dt: float, nodes: Real, basis: Callable[[Real], Array], rule: Rule
) -> Array:
    """Return the matrix that maps an observable at the nodes to its mean after a step, in a basis inverted there."""
    choices = np.array(list(itertools.product(range(len(rule[0])), repeat=scheme.normals(process))))
    numbers, weights = torch.from_numpy(rule[0][choices]), rule[1][choices].prod(-1)
    states = torch.from_numpy(nodes).expand(len(choices), *nodes.shape).reshape(-1, nodes.shape[-1])
    now = torch.tensor(time, dtype=torch.float64)
    moved = scheme.step(process, states, now, dt, numbers.repeat_interleave(len(nodes), 0)).numpy()
    total = sum(w * basis(part) for w, part in zip(weights, np.split(moved, len(choices)), strict=True))
    return np.asarray(np.linalg.solve(basis(nodes).T, total.T).T)


WAVES = 16
RING, RING_NODES = Ring(), circle(WAVES)[:, None]
OBSERVABLES = np.stack([np.cos(RING_NODES[:, 0]), np.sin(RING_NODES[:, 0])], -1).astype(complex)


def ring_exact() -> Array:
    """Return the mean observables at the end, by the backward equation of the ring."""
    modes, slopes = fourier(RING_NODES[:, 0], WAVES)
    first = np.linalg.solve(modes.T, slopes.T).T
    second = first @ first

    def rate(s: float, flat: Array) -> Array:
        u, time = flat.reshape(OBSERVABLES.shape), torch.tensor(DURATION - s, dtype=torch.float64)
        drift, noise = RING.drift(torch.from_numpy(RING_NODES), time).numpy(), float(RING.noise(time))
        return np.asarray((drift * (first @ u) + 0.5 * noise**2 * (second @ u)).ravel())

    solution = solve_ivp(rate, (0, DURATION), OBSERVABLES.ravel(), method="DOP853", rtol=1e-10, atol=1e-12)
    return np.asarray(solution.y[:, -1].reshape(OBSERVABLES.shape))


RING_EXACT = ring_exact()


def slope(errors: list[float]) -> float:
    return float(np.polyfit(np.log(1 / np.array(STEPS)), np.log(errors), 1)[0])


def ring_order(scheme: Scheme, rule: Rule) -> float:
    errors = []
    for steps in STEPS:
        u, dt = OBSERVABLES, DURATION / steps
        for k in reversed(range(steps)):
            u = mean_step(scheme, RING, k * dt, dt, RING_NODES, lambda x: fourier(x[:, 0], WAVES)[0], rule) @ u
        errors.append(float(np.abs(u - RING_EXACT).max()))
    return slope(errors)


def check_order(observed: float, claimed: float) -> None:
    assert claimed - 0.2 < observed < claimed + 0.4, f"claimed {claimed}, observed {observed:.3f}"


@pytest.mark.parametrize("rule", [HERMITE, THREE_POINT], ids=["normals", "three-point"])
@pytest.mark.parametrize("name", GENERAL)
def test_weak_order_on_a_driven_ring_is_the_claimed_one(name: str, rule: Rule) -> None:
    scheme: Scheme = build("physcore.schemes", name, {})
    assert scheme.three_point
    observed = ring_order(scheme, rule)
    check_order(observed, scheme.weak_order)
    with pytest.raises(AssertionError, match="claimed"):
        check_order(observed, scheme.weak_order + 1)


@pytest.mark.parametrize("name", ["heun", "sra1", "weak-taylor"])
def test_two_point_numbers_are_told_from_three_point_ones(name: str) -> None:
    scheme: Scheme = build("physcore.schemes", name, {})
    with pytest.raises(AssertionError, match="claimed"):
        check_order(ring_order(scheme, TWO_POINT), scheme.weak_order)


PENDULUM = UnderdampedLangevin(potential=CosinePotential(amplitude=1.5, tilt=0.5), temperature=0.6, mass=1.3)
PENDULUM_WAVES, DEGREE = 12, 20
THERMAL = math.sqrt(PENDULUM.temperature / PENDULUM.mass)


def pendulum_basis(states: Real) -> tuple[Array, Array, Array]:
    """Return Fourier modes times Hermite polynomials and their derivatives in position and velocity."""
    modes, slopes = fourier(states[:, 0], PENDULUM_WAVES)
    scaled = states[:, 1] / THERMAL
    polynomials = np.stack([np.ones_like(scaled), scaled], -1)
    for n in range(2, DEGREE):
        following = (scaled * polynomials[:, -1] - math.sqrt(n - 1) * polynomials[:, -2]) / math.sqrt(n)
        polynomials = np.concatenate([polynomials, following[:, None]], -1)
    lowered = np.zeros_like(polynomials)
    lowered[:, 1:] = polynomials[:, :-1] * np.sqrt(np.arange(1, DEGREE)) / THERMAL

    def product(a: Array, b: Real) -> Array:
        return np.asarray((a[:, :, None] * b[:, None, :]).reshape(len(states), -1))

    return product(modes, polynomials), product(slopes, polynomials), product(modes, lowered)


def pendulum_grid() -> tuple[Real, Real]:
    """Return nodes and their weights in the uniform law of the position and the thermal law of the velocity."""
    x, (v, weight) = circle(PENDULUM_WAVES), np.polynomial.hermite_e.hermegauss(DEGREE)
    nodes = np.stack(np.meshgrid(x, THERMAL * v, indexing="ij"), -1).reshape(-1, 2)
    return nodes, np.tile(weight / weight.sum(), len(x)) / len(x)


@pytest.mark.parametrize("rule", [HERMITE, THREE_POINT, TWO_POINT], ids=["normals", "three-point", "two-point"])
@pytest.mark.parametrize("name", SPLITTINGS)
def test_weak_order_of_a_splitting_on_a_pendulum_is_the_claimed_one(name: str, rule: Rule) -> None:
    scheme: Scheme = build("physcore.schemes", name, {})
    nodes, weight = pendulum_grid()
    values, along_x, along_v = pendulum_basis(nodes)
    states, time = torch.from_numpy(nodes), torch.zeros((), dtype=torch.float64)
    drift, noise = PENDULUM.drift(states, time).numpy(), float(PENDULUM.noise(time)[1, 0])
    # Derivatives at the nodes as matrices; the second one in the velocity is the first twice.
    by_x, by_v = np.linalg.solve(values.T, along_x.T).T, np.linalg.solve(values.T, along_v.T).T
    backward = drift[:, :1] * by_x + drift[:, 1:] * by_v + 0.5 * noise**2 * (by_v @ by_v)
    observables = np.stack([np.cos(nodes[:, 0]), nodes[:, 1] ** 2], -1).astype(complex)
    exact = scipy.linalg.expm(DURATION * backward) @ observables
    errors = []
    for steps in STEPS:
        dt = DURATION / steps
        step = mean_step(scheme, PENDULUM, 0.0, dt, nodes, lambda x: pendulum_basis(x)[0], rule)
        u = observables
        for _ in range(steps):
            u = step @ u
        errors.append(float(np.sqrt((weight[:, None] * np.abs(u - exact) ** 2).sum())))
    if rule is TWO_POINT:
        with pytest.raises(AssertionError, match="claimed"):
            check_order(slope(errors), scheme.weak_order)
    else:
        check_order(slope(errors), scheme.weak_order)
