"""Exact sampling has the law of the process after any step, and refuses what is not linear and constant."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from physcore import Process, Variable
from simulations import (
    ActiveSwimmer,
    BreathingParabola,
    DoubleWell,
    ExactLinear,
    OrnsteinUhlenbeck,
    Scheme,
)

Matrix = NDArray[np.float64]
AffineStep = Callable[[Scheme, Process, float], tuple[Matrix, Matrix, Matrix]]

SPIRAL = OrnsteinUhlenbeck(
    drift_matrix=((-1.0, -4.0, 0.0), (4.0, -1.0, 0.5), (0.0, 1.0, -30.0)),
    noise_matrix=((1.0, 0.0), (0.5, 0.8), (0.0, 0.0)),
    initial_mean=(1.0, -0.5, 0.2),
)


class Ramp(Process):
    """A particle pushed at a constant rate, without noise in its second component; the noise may come on later."""

    variables = (Variable("x"), Variable("y"))

    def __init__(self, late_noise: float = 0.0) -> None:
        self.late_noise = late_noise

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        x, y = state.unbind(-1)
        return torch.stack([0 * x, 2 - y], -1)

    def noise(self, time: Tensor) -> Tensor:
        strength = 3 + self.late_noise * time.double()
        return torch.stack([strength, torch.zeros_like(strength)], -1).unsqueeze(-1)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        return torch.randn(paths, 2, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("dt", [1e-4, 0.1, 3.0])
def test_a_step_has_the_exact_law(dt: float, affine_step: AffineStep) -> None:
    propagator, displacement, noise = affine_step(ExactLinear(), SPIRAL, dt)
    start, law = SPIRAL.law(torch.zeros(())), SPIRAL.law(torch.tensor(dt, dtype=torch.float64))
    np.testing.assert_allclose(displacement, 0, atol=1e-300)
    np.testing.assert_allclose(propagator @ start.mean.numpy(), law.mean.numpy(), rtol=1e-12)
    covariance = propagator @ start.covariance.numpy() @ propagator.T + noise @ noise.T
    np.testing.assert_allclose(covariance, law.covariance.numpy(), rtol=1e-12, atol=1e-15)
    wrong = (
        propagator @ start.covariance.numpy() @ propagator.T
        + dt * np.array(SPIRAL.noise_matrix) @ np.array(SPIRAL.noise_matrix).T
    )
    assert np.abs(wrong - law.covariance.numpy()).max() > 1e-9


def test_two_steps_make_one_of_twice_the_length(affine_step: AffineStep) -> None:
    half, _, noise = affine_step(ExactLinear(), SPIRAL, 0.2)
    whole, _, longer = affine_step(ExactLinear(), SPIRAL, 0.4)
    np.testing.assert_allclose(half @ half, whole, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(half @ noise @ noise.T @ half.T + noise @ noise.T, longer @ longer.T, rtol=1e-11)


def test_a_constant_force_and_an_undriven_component_are_exact(affine_step: AffineStep) -> None:
    propagator, displacement, noise = affine_step(ExactLinear(), Ramp(), 0.5)
    np.testing.assert_allclose(propagator, np.diag([1, np.exp(-0.5)]), atol=1e-15)
    np.testing.assert_allclose(displacement, [0, 2 * (1 - np.exp(-0.5))], rtol=1e-14)
    np.testing.assert_allclose(noise, [[3 * 0.5**0.5, 0], [0, 0]], rtol=1e-14)


@pytest.mark.parametrize(
    ("process", "reason"),
    [
        (DoubleWell(), "drift linear in the state"),
        (ActiveSwimmer(), "drift linear in the state"),
        (BreathingParabola(), "constant in time"),
        (Ramp(late_noise=0.1), "noise constant in time"),
    ],
    ids=["double-well", "active-swimmer", "softening trap", "growing noise"],
)
def test_what_is_not_linear_and_constant_is_refused(process: Process, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        ExactLinear().check(process, 0.1)


def test_one_scheme_serves_several_processes_and_steps(affine_step: AffineStep) -> None:
    shared = ExactLinear()
    other = OrnsteinUhlenbeck.rotating_trap()
    for process, dt in ((SPIRAL, 0.1), (other, 0.1), (SPIRAL, 0.1), (SPIRAL, 0.2)):
        for used, fresh in zip(affine_step(shared, process, dt), affine_step(ExactLinear(), process, dt), strict=True):
            np.testing.assert_array_equal(used, fresh)
    assert shared == ExactLinear()
    assert hash(shared) == hash(ExactLinear())
