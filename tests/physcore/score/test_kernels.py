"""Kernels against the laws of solvable processes, and whom they refuse."""

import pytest
import torch

from physcore.score import Batch, Euler, ExactDenoising, ExactTransition, LocalLinear, Training, fit
from physcore.score.batches import TrajectoryBatches
from physcore.score.kernels import Kernel
from physcore.solvable import SolvableProcess
from simulations import (
    ActiveOrnsteinUhlenbeck,
    ActiveSwimmer,
    BreathingParabola,
    DoubleWell,
    MixturePrior,
    MovingTrap,
    OrnsteinUhlenbeck,
    simulate,
)

SOLVABLE: dict[str, SolvableProcess] = {
    "ornstein-uhlenbeck": OrnsteinUhlenbeck.rotating_trap(),
    "moving-trap": MovingTrap(particles=5),
    "breathing-parabola": BreathingParabola(),
}


def carried_error(process: SolvableProcess, kernel: Kernel, start: float, lag: float) -> float:
    """Largest error of mean and covariance after a kernel has carried the law at the start over the lag."""
    d, early = process.dimension, process.law(torch.tensor(start))
    # The kernel's mean is affine in the state: its matrix from the mean and one state along each axis.
    states = torch.cat([early.mean.unsqueeze(0), early.mean + torch.eye(d, dtype=torch.float64)])
    times = torch.full((d + 1,), start, dtype=torch.float64)
    transition = kernel.of(process)(states, times, torch.full_like(times, lag))
    mean = transition.mean.T
    matrix = (mean[1:] - mean[0]).T
    late = process.law(torch.tensor(start + lag, dtype=torch.float64))
    covariance = matrix @ early.covariance @ matrix.T + transition.covariance[0]
    return float(torch.maximum((mean[0] - late.mean).abs().max(), (covariance - late.covariance).abs().max()))


@pytest.mark.parametrize("lag", [0.05, 2.0])
@pytest.mark.parametrize("name", SOLVABLE)
def test_the_exact_kernel_carries_one_law_to_the_next(name: str, lag: float) -> None:
    assert carried_error(SOLVABLE[name], ExactTransition(), 0.5, lag) < 1e-6
    # A sibling: one Euler step.
    assert carried_error(SOLVABLE[name], Euler(), 0.5, lag) > 1e-4


@pytest.mark.parametrize("name", ["moving-trap", "breathing-parabola"])
def test_the_linearised_kernel_is_not_exact_where_the_drift_depends_on_time(name: str) -> None:
    assert carried_error(SOLVABLE[name], LocalLinear(), 0.5, 1.0) > 1e-3


def test_a_linear_process_needs_no_transition_of_its_own() -> None:
    process, state = ActiveOrnsteinUhlenbeck(), torch.zeros(1, 2, dtype=torch.float64)
    start, lag = state.new_zeros(1), state.new_full((1,), 30.0)
    stationary = ExactTransition().of(process)(state, start, lag).covariance[0]
    # In a spring of rate k the position's variance is D / k + <v^2> / (k (k + 1 / tau)).
    assert float(stationary[0, 0]) == pytest.approx(0.1 + 1 / (1 + 1), rel=1e-6)


@pytest.mark.parametrize("process", [DoubleWell(), ActiveSwimmer(), MixturePrior()], ids=lambda p: type(p).__name__)
def test_a_nonlinear_process_has_no_exact_kernel(process: DoubleWell) -> None:
    with pytest.raises(ValueError, match="not linear in the state"):
        ExactTransition().of(process)


def test_a_process_without_noise_on_all_components_has_no_euler_kernel() -> None:
    with pytest.raises(ValueError, match="drives 1 of 2"):
        Euler().of(ActiveSwimmer())


def test_the_euler_kernel_is_one_step_with_the_noise_at_its_start() -> None:
    process, state = MixturePrior(), torch.randn(5, 2, generator=torch.Generator().manual_seed(1)).double()
    start, lag = torch.linspace(0.1, 0.5, 5).double(), torch.linspace(0.01, 0.05, 5).double()
    transition = Euler().of(process)(state, start, lag)
    torch.testing.assert_close(transition.mean.T, state + lag[:, None] * process.drift(state, start))
    expected = (process.rate(start) * lag)[:, None, None] * torch.eye(2, dtype=torch.float64)
    torch.testing.assert_close(transition.covariance, expected)


def test_exact_denoising_may_start_from_the_first_frame() -> None:
    process = BreathingParabola()
    data = simulate(process, paths=200, duration=2.0, dt=0.01, save_every=10, seed=1)
    objective, training = ExactDenoising(lag=100.0), Training(steps=3, batch=64, first_time=0.5)
    batches = TrajectoryBatches(process, data, training, torch.device("cpu"))
    batch = batches.draw(500, batches.training_paths, objective, torch.Generator().manual_seed(1))
    assert (batch.start == 0).all()
    assert batch.time.min() >= 0.5
    assert batch.time.max() > 1.9
    target = objective.sampler(process)(batch, torch.Generator().manual_seed(2)).target
    assert target is not None
    assert torch.isfinite(target).all()
    score = fit(process, data, objective=objective, training=training, seed=1)
    assert score.time_range == (0.5, 2.0)


def test_a_batch_of_kernels_is_one_batch_of_states() -> None:
    process = MovingTrap(particles=3)
    batch = Batch(state=torch.ones(7, 6), start=torch.zeros(7), time=torch.linspace(0.1, 0.7, 7))
    samples = ExactDenoising().sampler(process)(batch, torch.Generator().manual_seed(1))
    assert samples.state.shape == (7, 2, 6)
    assert samples.state.dtype == torch.float32
