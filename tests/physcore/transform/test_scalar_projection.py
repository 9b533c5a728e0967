"""The score of a scalar function of the state, by conditional expectation."""

import pytest
import torch
from torch import Tensor

from physcore.law import Gaussian
from physcore.transform import ScoreTargets, project_score, score_targets

GAUSSIAN = Gaussian(mean=torch.zeros(4, dtype=torch.float64), covariance=torch.eye(4, dtype=torch.float64))
WIDE = Gaussian(
    mean=torch.tensor([1.5, -0.5], dtype=torch.float64),
    covariance=torch.tensor([[0.6, 0.2], [0.2, 0.4]], dtype=torch.float64),
)


def samples(law: Gaussian, paths: int) -> Tensor:
    return law.sample(paths, torch.Generator().manual_seed(4))


def test_the_target_is_the_score_where_the_score_is_a_function_of_the_value() -> None:
    state = samples(GAUSSIAN, 100)
    targets = score_targets(lambda x: x.square().sum(-1), state, GAUSSIAN.score(state))
    torch.testing.assert_close(targets.value, state.square().sum(-1))
    # Chi squared with four degrees of freedom.
    torch.testing.assert_close(targets.target, 1 / targets.value - 0.5, rtol=1e-10, atol=1e-10)


def test_a_function_of_one_variable_is_a_change_of_variables() -> None:
    state = samples(Gaussian(mean=torch.zeros(1), covariance=torch.eye(1)), 50).double()
    targets = score_targets(lambda x: torch.sinh(x[..., 0]), state, -state)
    slope, bend = torch.cosh(state[:, 0]), torch.sinh(state[:, 0])
    torch.testing.assert_close(targets.target, -state[:, 0] / slope - bend / slope**2, rtol=1e-10, atol=1e-10)


def bent(state: Tensor) -> Tensor:
    return state[..., 0] + 0.5 * state[..., 1].square()


def exact_score(points: Tensor) -> Tensor:
    """Return the score of x + y^2 / 2 under the Gaussian law, by quadrature over y."""
    across = torch.linspace(-5, 5, 4001, dtype=torch.float64)
    along = points.unsqueeze(-1) - 0.5 * across.square()
    state = torch.stack([along, across.expand_as(along)], -1)
    density = WIDE.log_density(state).exp()
    return (density * WIDE.score(state)[..., 0]).sum(-1) / density.sum(-1)


@pytest.mark.parametrize("shift", [0.0, 0.5], ids=["right", "wrong"])
def test_the_regression_finds_the_score_within_its_standard_error(shift: float) -> None:
    state = samples(WIDE, 200_000)
    targets = score_targets(bent, state, WIDE.score(state))
    points = torch.tensor([0.7, 1.3, 2.0], dtype=torch.float64)
    # At this bandwidth the bias is below a third of the standard error.
    estimate = project_score(targets, points, bandwidth=0.05)
    z = (estimate.value - exact_score(points) - shift) / estimate.standard_error
    assert (estimate.standard_error < 0.05).all()
    assert bool((z.abs() < 5).all()) == (shift == 0.0)


def test_mean_score_vanishes_by_the_rule_of_thumb() -> None:
    state = samples(WIDE, 20_000)
    targets = score_targets(bent, state, WIDE.score(state))
    error = targets.target.std() / len(state) ** 0.5
    assert abs(targets.target.mean() / error) < 5
    assert project_score(targets, targets.value[:10].float()).value.dtype == torch.float32


def test_d7_what_cannot_be_projected_is_refused() -> None:
    state = torch.zeros(4, 2)
    with pytest.raises(ValueError, match="gradient that does not vanish; it does at index \\(0,\\)"):
        score_targets(lambda x: x.square().sum(-1), state, state)
    with pytest.raises(ValueError, match="shape of `state`"):
        score_targets(bent, state, torch.zeros(4, 3))
    few = ScoreTargets(torch.zeros(2), torch.zeros(2))
    with pytest.raises(ValueError, match="at least 3"):
        project_score(few, torch.zeros(1))
    same = ScoreTargets(torch.zeros(5), torch.zeros(5))
    with pytest.raises(ValueError, match="`bandwidth` must be positive"):
        project_score(same, torch.zeros(1))
