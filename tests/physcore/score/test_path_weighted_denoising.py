"""Targets along simulated paths: exact for linear processes, unbiased at lags that linearisation cannot reach."""

import dataclasses
from typing import Any, get_args

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from analysis import FokkerPlanck
from physcore import Process
from physcore.law import Gaussian
from physcore.score import Batch, LocalDenoising, LocalLinearization, Objective, PathWeightedDenoising, Samples
from physcore.score.path_weights import Gain
from simulations import ActiveSwimmer, DoubleWell, LogisticPrior, MovingTrap, OrnsteinUhlenbeck

TRAP = OrnsteinUhlenbeck(
    drift_matrix=((-1.0, -1.0), (0.5, -0.7)),
    noise_matrix=((1.0, 0.0), (0.5, 0.8)),
    initial_mean=(1.0, -0.5),
    initial_covariance=((0.5, 0.1), (0.1, 0.2)),
)
INERTIAL = OrnsteinUhlenbeck(drift_matrix=((0.0, 1.0), (-1.0, -0.5)), noise_matrix=((0.0,), (0.7,)))

MANY = OrnsteinUhlenbeck(
    drift_matrix=(torch.randn(9, 9, generator=torch.Generator().manual_seed(0)) / 6 - torch.eye(9)).tolist(),
    noise_matrix=torch.eye(9).tolist(),
)


def drawn(objective: Objective, process: Process, state: Tensor, time: float) -> Samples:
    """Samples of states at time zero."""
    start = torch.zeros(len(state), dtype=state.dtype)
    batch = Batch(state=state, start=start, time=start + time)
    return objective.sampler(process)(batch, torch.Generator().manual_seed(5))


@pytest.mark.parametrize("gain", get_args(Gain))
@pytest.mark.parametrize("process", [TRAP, INERTIAL], ids=["every component driven", "one component driven"])
def test_targets_of_a_linear_process_are_its_exact_transition_scores(process: Process, gain: Gain) -> None:
    state = torch.randn(500, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    errors = []
    for steps in (40, 80):
        samples = drawn(PathWeightedDenoising(steps=steps, targets=4, gain=gain), process, state, 1.0)
        assert samples.target is not None
        lags = samples.time.reshape(4, -1)[:, 0]
        torch.testing.assert_close(lags, torch.tensor([0.625, 0.75, 0.875, 1.0], dtype=torch.float64))
        exact = []
        for points, lag in zip(samples.state[:, 0].reshape(4, -1, 2), lags, strict=True):
            kernel = LocalLinearization(process).transition(state, torch.zeros(500).double(), lag.reshape(1))
            exact.append(-torch.linalg.solve(kernel.covariance, (points - kernel.mean.T).unsqueeze(-1)).squeeze(-1))
        wrong = samples.target[:, 0] - torch.cat(exact)
        errors.append(float((wrong.square().mean() / torch.cat(exact).square().mean()).sqrt()))
    # What is left is the simulation's error along the path, of second order in the step.
    assert errors[0] < 3e-3
    assert errors[1] < 0.3 * errors[0]


def law_after(process: OrnsteinUhlenbeck, state: Tensor, lag: float) -> Gaussian:
    drift, noise = (np.array(matrix) for matrix in (process.drift_matrix, process.noise_matrix))
    propagator = scipy.linalg.expm(drift * lag)
    stationary = scipy.linalg.solve_continuous_lyapunov(drift, -noise @ noise.T)
    covariance = torch.from_numpy(stationary - propagator @ stationary @ propagator.T)
    return Gaussian(mean=state @ torch.from_numpy(propagator).T, covariance=covariance)


def test_targets_of_many_linear_components_are_exact() -> None:
    state = MANY.sample_initial(40, torch.Generator().manual_seed(1)).double()
    samples = drawn(PathWeightedDenoising(lag=0.8, steps=20, targets=2), MANY, state, 0.8)
    assert samples.target is not None
    for part, lag in ((slice(40), 0.6), (slice(40, 80), 0.8)):
        score = law_after(MANY, state, lag).score(samples.state[part, 0])
        torch.testing.assert_close(samples.target[part, 0], score, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("steps", [20, 40])
def test_targets_of_many_driven_components_are_exact_to_fourth_order(steps: int) -> None:
    process = MovingTrap(particles=5)
    state = process.sample_initial(60, torch.Generator().manual_seed(1)).double()
    start = torch.tensor([0.0, 0.25, 0.3], dtype=torch.float64).repeat(20)
    batch = Batch(state=state, start=start, time=start + 0.8)
    samples = PathWeightedDenoising(steps=steps, targets=2).sampler(process)(batch, torch.Generator().manual_seed(2))
    assert samples.target is not None
    torch.testing.assert_close(samples.time, torch.cat([start + 0.6, start + 0.8]))
    law = process.transition(state.repeat(2, 1), start.repeat(2), samples.time)
    error = 1e-4 * (20 / steps) ** 4
    torch.testing.assert_close(samples.target[:, 0], law.score(samples.state[:, 0]), rtol=error, atol=error)


def slope_z(samples: Samples, reference: Tensor, component: int) -> float:
    """How far E[target . score] / E score^2 lies from one, in standard errors, over one sample for each path."""
    assert samples.target is not None
    paths = len(reference)
    score = reference[:, component]
    product = (samples.target[-paths:, 0, component].double() - score) * score
    kept = torch.isfinite(product)
    return float(product[kept].mean() / (product[kept].std() / kept.sum() ** 0.5))


def last_points(samples: Samples, paths: int) -> Tensor:
    return samples.state[-paths:, 0].double()


def test_targets_of_a_double_well_are_unbiased_where_the_linearisation_is_not() -> None:
    process, paths = DoubleWell(), 40_000
    state = process.sample_initial(paths, torch.Generator().manual_seed(1)).float()
    truth = FokkerPlanck(process)
    truth.prepare([1.0])
    unbiased = drawn(PathWeightedDenoising(steps=64), process, state, 1.0)
    assert abs(slope_z(unbiased, truth.score(last_points(unbiased, paths), 1.0), 0)) < 5
    biased = drawn(LocalDenoising(lag=1.0, variance_reduction="none"), process, state, 1.0)
    assert abs(slope_z(biased, truth.score(last_points(biased, paths), 1.0), 0)) > 5


def stein_z(samples: Samples) -> Tensor:
    """How far E[target sin(y)] lies from -E[cos(y)], which Stein's identity asks of any law, in standard errors."""
    assert samples.target is not None
    point, target = samples.state[:, 0].double(), samples.target[:, 0].double()
    balance = target * point.sin() + point.cos()
    return balance.mean(0) / (balance.std(0) / len(balance) ** 0.5)


@pytest.mark.parametrize(
    ("process", "lag"),
    [(DoubleWell(), 3.0), (LogisticPrior(), 0.5), (INERTIAL, 1.0)],
    ids=["double well, long lag", "noise that grows with time", "one component driven"],
)
def test_linear_quadratic_weights_are_unbiased_for_the_simulated_chain_itself(process: Process, lag: float) -> None:
    state = process.sample_initial(20_000, torch.Generator().manual_seed(1)).float()
    objective = PathWeightedDenoising(lag=lag, steps=50, targets=1, gain="linear-quadratic")
    samples = drawn(objective, process, state, lag)
    assert (stein_z(samples).abs() < 5).all()
    assert samples.target is not None
    assert (stein_z(dataclasses.replace(samples, target=0.8 * samples.target)).abs() > 5).all()


def test_linear_quadratic_weights_are_quiet_between_wells_where_the_riccati_gain_is_not() -> None:
    process, paths = DoubleWell(), 20_000
    state = process.sample_initial(paths, torch.Generator().manual_seed(1)).float()
    truth = FokkerPlanck(process)
    truth.prepare([1.0])
    noise = {}
    for gain in get_args(Gain):
        samples = drawn(PathWeightedDenoising(steps=200, targets=1, gain=gain), process, state, 1.0)
        assert samples.target is not None
        score = truth.score(last_points(samples, paths), 1.0)
        noise[gain] = float(torch.nanmean((samples.target[:, 0] - score).square()) / torch.nanmean(score.square()))
        assert abs(slope_z(samples, score, 0)) < 5
        if gain == "linear-quadratic":
            assert abs(slope_z(samples, 0.95 * score, 0)) > 5
    assert noise["linear-quadratic"] < 0.3
    assert noise["riccati"] > 3


@pytest.mark.parametrize("component", [0, 1])
def test_targets_of_the_swimmer_are_unbiased_over_a_whole_unit_of_time(component: int) -> None:
    paths = 60_000
    process = ActiveSwimmer()
    state = process.sample_initial(paths, torch.Generator().manual_seed(1)).float()
    truth = FokkerPlanck(process, cells=(384, 192))
    truth.prepare([1.0])
    samples = drawn(PathWeightedDenoising(), process, state, 1.0)
    reference = truth.score(last_points(samples, paths), 1.0)
    assert abs(slope_z(samples, reference, component)) < 5
    assert abs(slope_z(samples, 0.8 * reference, component)) > 5


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"lag": 0.0}, "lag"),
        ({"lag": float("inf")}, "lag"),
        ({"targets": 0}, "targets"),
        ({"steps": 9}, "steps"),
        ({"gain": "kalman"}, "gain"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused_by_name(settings: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=f"`{what}`"):
        PathWeightedDenoising(**settings)
