"""Every registered scheme keeps to the orders that its class claims."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import simulations.integrators
from physcore import Process
from simulations import ActiveSwimmer, DoubleWell, OrnsteinUhlenbeck, Scheme

Exported = Callable[[ModuleType], dict[str, Any]]

DURATION = 1.0
FINEST = 2048
STEPS = (16, 32, 64)
PROCESSES = {"double-well": DoubleWell(), "active-swimmer": ActiveSwimmer(friction=1.0)}


def end(scheme: Scheme, process: Process, start: Tensor, increments: Tensor) -> Tensor:
    """Return the states at the end of a path of Brownian increments, shape (step, path, noise)."""
    dt, state = DURATION / len(increments), start
    for k, increment in enumerate(increments):
        state = scheme.step(process, state, torch.tensor(k * dt, dtype=torch.float64), dt, increment / dt**0.5)
    return state


def slope(errors: list[float], steps: tuple[int, ...] = STEPS) -> float:
    return float(np.polyfit(np.log(1 / np.array(steps)), np.log(errors), 1)[0])


def check_order(observed: float, claimed: float) -> None:
    assert claimed - 0.2 < observed < claimed + 0.4, f"claimed {claimed}, observed {observed:.3f}"


def strong_errors(scheme: Scheme, process: Process, paths: int = 256) -> list[float]:
    generator = torch.Generator().manual_seed(4)
    start = process.sample_initial(paths, generator).double()
    noises = process.noise(torch.zeros(())).shape[-1]
    fine = torch.randn(FINEST, paths, noises, generator=generator, dtype=torch.float64) * (DURATION / FINEST) ** 0.5
    exact = end(scheme, process, start, fine)
    errors = []
    for steps in STEPS:
        coarse = fine.reshape(steps, FINEST // steps, paths, noises).sum(1)
        errors.append(float((end(scheme, process, start, coarse) - exact).square().sum(-1).mean().sqrt()))
    return errors


@pytest.mark.parametrize("name", PROCESSES)
def test_strong_order_on_the_same_brownian_path_is_the_claimed_one(scheme: Scheme, name: str) -> None:
    check_order(slope(strong_errors(scheme, PROCESSES[name])), scheme.strong_order)


def moment_errors(scheme: Scheme, process: OrnsteinUhlenbeck) -> list[float]:
    """Exact error of mean and covariance: on a linear process a step is affine in state and noise."""
    d, k = process.dimension, process.noise(torch.zeros(())).shape[-1]
    time, errors = torch.tensor(0.0, dtype=torch.float64), []
    law = process.law(torch.tensor(DURATION))
    for steps in STEPS:
        dt = DURATION / steps
        propagator = scheme.step(process, torch.eye(d).double(), time, dt, torch.zeros(d, k).double()).T
        noise = scheme.step(process, torch.zeros(k, d).double(), time, dt, torch.eye(k).double()).T
        mean = torch.tensor(process.initial_mean, dtype=torch.float64)
        covariance = torch.tensor(process.initial_covariance, dtype=torch.float64)
        for _ in range(steps):
            mean = propagator @ mean
            covariance = propagator @ covariance @ propagator.T + noise @ noise.T
        errors.append(float((mean - law.mean).norm() + (covariance - law.covariance).norm()))
    return errors


LINEAR: dict[str, Callable[[], OrnsteinUhlenbeck]] = {
    "rotating-trap": lambda: OrnsteinUhlenbeck.rotating_trap(rotation=2.0, diffusivity=0.5),
    "gyrator": lambda: OrnsteinUhlenbeck.brownian_gyrator(hot=3.0),
    "underdamped": lambda: OrnsteinUhlenbeck(
        drift_matrix=((0.0, 1.0), (-2.0, -1.0)), noise_matrix=((0.0,), (1.0,)), initial_mean=(1.0, -0.5)
    ),
}


@pytest.mark.parametrize("name", LINEAR)
def test_weak_order_of_mean_and_covariance_is_the_claimed_one(scheme: Scheme, name: str) -> None:
    errors = moment_errors(scheme, LINEAR[name]())
    if max(errors) < 1e-12:
        return  # exact on linear processes
    check_order(slope(errors), scheme.weak_order)


def test_a_wrong_claim_would_be_noticed(scheme: Scheme) -> None:
    with pytest.raises(AssertionError, match="claimed"):
        check_order(slope(strong_errors(scheme, PROCESSES["double-well"])), scheme.strong_order + 0.5)
    with pytest.raises(AssertionError, match="claimed"):
        check_order(slope(moment_errors(scheme, LINEAR["gyrator"]())), scheme.weak_order + 0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_step_is_pure_and_keeps_shape_and_dtype(scheme: Scheme, process: Process, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    state = torch.randn(9, process.dimension, generator=generator, dtype=dtype)
    normals = torch.randn(9, process.noise(torch.zeros(())).shape[-1], generator=generator, dtype=dtype)
    kept = state.clone(), normals.clone()
    time = torch.tensor(0.0, dtype=torch.float64)
    moved = scheme.step(process, state, time, 0.01, normals)
    assert moved.shape == state.shape
    assert moved.dtype == dtype
    assert torch.equal(state, kept[0])
    assert torch.equal(normals, kept[1])
    assert torch.equal(moved, scheme.step(process, state, time, 0.01, normals))
    assert torch.equal(moved[:4], scheme.step(process, state[:4].clone(), time, 0.01, normals[:4].clone()))


def test_repr_is_the_constructor_call(scheme: Scheme, exported: Exported) -> None:
    assert eval(repr(scheme), exported(simulations.integrators)) == scheme


def test_a_scheme_says_its_noise_type(scheme: Scheme) -> None:
    assert scheme.noise_type in ("additive", "diagonal", "general")
    assert 0 < scheme.strong_order <= scheme.weak_order + 1
