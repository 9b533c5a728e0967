"""The probability flow: closed forms of Gaussian laws, density along the flow, and round trips."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from physcore.errors import NumericalError
from physcore.reverse import ProbabilityFlow
from simulations import ActiveSwimmer, BreathingParabola, MovingTrap, OrnsteinUhlenbeck

TRAP = OrnsteinUhlenbeck(
    drift_matrix=((-1.0, -1.0), (0.5, -0.7)),
    noise_matrix=((0.3, 0.0), (0.4, 0.8)),
    initial_mean=(1.0, -0.5),
    initial_covariance=((0.5, 0.1), (0.1, 0.2)),
)
POINTS = torch.randn(40, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_on_a_line_the_flow_stretches_by_the_standard_deviation() -> None:
    process = BreathingParabola()
    flow = ProbabilityFlow(process=process, score=process, tolerance=1e-9)
    start, end = torch.tensor(0.3, dtype=torch.float64), torch.tensor(2.0, dtype=torch.float64)
    stretch = (process.variance(end) / process.variance(start)).sqrt()
    torch.testing.assert_close(flow.transport(POINTS[:, :1], 0.3, 2.0), stretch * POINTS[:, :1], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("process", [TRAP, MovingTrap(particles=2, initial_width=0.5)], ids=["trap", "particles"])
@pytest.mark.parametrize("time", [0.0, 0.4, 1.5])
def test_the_density_along_the_flow_is_the_exact_one(process: Any, time: float) -> None:
    flow = ProbabilityFlow(process=process, score=process, tolerance=1e-9)
    law = process.law(torch.tensor(time, dtype=torch.float64))
    states = law.sample(30, torch.Generator().manual_seed(1))
    torch.testing.assert_close(flow.log_density(states, time), law.log_density(states), rtol=1e-6, atol=1e-6)


def test_the_law_may_be_known_at_the_end_instead() -> None:
    law = TRAP.law(torch.tensor(1.0, dtype=torch.float64))
    flow = ProbabilityFlow(process=TRAP, score=TRAP, known_time=1.0, known_log_density=law.log_density)
    exact = TRAP.log_density(POINTS, torch.tensor(0.2, dtype=torch.float64))
    torch.testing.assert_close(flow.log_density(POINTS, 0.2), exact, rtol=1e-4, atol=1e-4)


class Stretched:
    """The exact score, stretched."""

    def score(self, state: Tensor, time: Tensor) -> Tensor:
        return 1.1 * TRAP.score(state, time)


def test_a_wrong_score_gives_another_density() -> None:
    exact = TRAP.log_density(POINTS, torch.tensor(1.0, dtype=torch.float64))
    wrong = ProbabilityFlow(process=TRAP, score=Stretched()).log_density(POINTS, 1.0)
    assert float((wrong - exact).abs().mean()) > 0.02


def test_there_and_back_is_nowhere_and_the_error_is_the_tolerance() -> None:
    errors = []
    for tolerance in (1e-4, 1e-9):
        flow = ProbabilityFlow(process=TRAP, score=TRAP, tolerance=tolerance)
        back = flow.transport(flow.transport(POINTS, 0.0, 2.0), 2.0, 0.0)
        errors.append(float((back - POINTS).abs().max()))
    assert errors[1] < 1e-6
    assert errors[1] < errors[0] < 1e-1


def test_probes_estimate_the_divergence_without_bias() -> None:
    process, time = OrnsteinUhlenbeck(drift_matrix=((-1.0, 0.8), (0.8, -1.2))), torch.tensor(1.0, dtype=torch.float64)
    flow = ProbabilityFlow(process=process, score=process, probes=1, seed=4)
    states = process.law(time).sample(1000, torch.Generator().manual_seed(1))
    error = flow.log_density(states, time) - process.log_density(states, time)
    assert float(error.std()) > 0.05, "a single probe is noisy"
    assert abs(float(error.mean())) < 5 * float(error.std()) / math.sqrt(len(states))
    many = ProbabilityFlow(process=process, score=process, probes=16, seed=4).log_density(states, time)
    assert float((many - process.log_density(states, time)).std()) < 0.4 * float(error.std())


def test_shapes_and_dtype_are_kept() -> None:
    flow = ProbabilityFlow(process=TRAP, score=TRAP)
    state = POINTS.float().reshape(4, 10, 2)
    kept = state.clone()
    moved, density = flow.transport(state, 0.0, 0.5), flow.log_density(state, 0.5)
    assert (moved.shape, moved.dtype) == (state.shape, torch.float32)
    assert (density.shape, density.dtype) == (state.shape[:-1], torch.float32)
    assert torch.equal(state, kept)
    torch.testing.assert_close(moved.reshape(-1, 2), flow.transport(POINTS, 0.0, 0.5).float(), rtol=1e-4, atol=1e-4)


def test_a_score_without_derivatives_carries_states_but_gives_no_density() -> None:
    swimmer = ActiveSwimmer()

    class Table:
        def score(self, state: Tensor, time: Tensor) -> Tensor:
            return torch.from_numpy(-state.detach().numpy())

    flow = ProbabilityFlow(process=swimmer, score=Table())
    assert torch.isfinite(flow.transport(POINTS, 0.0, 0.1)).all()
    with pytest.raises(ValueError, match="derivatives"):
        flow.log_density(POINTS, 0.1)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"tolerance": 0.0}, "`tolerance`"),
        ({"probes": 0}, "`probes`"),
        ({"known_time": float("inf")}, "`known_time`"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ProbabilityFlow(process=TRAP, score=TRAP, **settings)


def test_states_that_mean_nothing_are_refused() -> None:
    flow = ProbabilityFlow(process=TRAP, score=TRAP)
    with pytest.raises(ValueError, match="2 components"):
        flow.transport(torch.zeros(3, 3), 0.0, 1.0)
    with pytest.raises(NumericalError, match="not finite"):
        flow.transport(torch.full((3, 2), torch.nan), 0.0, 1.0)
