"""Sums of Gaussians: every one counts, near and far, for density and score."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from analysis.references.samples.gaussian_sum import GaussianSum
from analysis.references.samples.partition import partition


def gaussians(d: int, count: int, shared: bool, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mean = 5 * torch.randn(count, d, generator=generator, dtype=torch.float64)
    factor = 0.3 * torch.randn(d, d, 1 if shared else count, generator=generator, dtype=torch.float64)
    factor = factor.permute(2, 0, 1).tril().permute(1, 2, 0).contiguous()
    for i in range(d):
        factor[i, i] = factor[i, i].abs() + 0.1
    return mean, factor


def brute_force(mean: Tensor, factor: Tensor, points: Tensor, log_weight: Tensor) -> tuple[Tensor, Tensor]:
    at = points.clone().requires_grad_()
    lower = factor.permute(2, 0, 1).expand(len(mean), -1, -1)
    terms = MultivariateNormal(mean, scale_tril=lower).log_prob(at.unsqueeze(1))
    logarithm = torch.logsumexp(terms + log_weight, 1)
    return logarithm.detach(), torch.autograd.grad(logarithm.sum(), at)[0]


@pytest.mark.parametrize("shared", [True, False], ids=["one covariance", "each its own"])
@pytest.mark.parametrize("d", [1, 2, 5])
def test_density_and_score_are_those_of_every_gaussian_near_and_far(d: int, shared: bool) -> None:
    mean, factor = gaussians(d, 1500, shared)
    generator = torch.Generator().manual_seed(1)
    points = torch.randn(300, d, generator=generator, dtype=torch.float64)
    points[:280] *= 5
    points[280:] *= 100  # where not one Gaussian reaches
    log_weight = torch.log_softmax(torch.randn(1500, generator=generator, dtype=torch.float64), 0)
    density, score = GaussianSum(mean, factor, log_weight).evaluate(points)
    expected = brute_force(mean, factor, points, log_weight)
    torch.testing.assert_close(density, expected[0], rtol=1e-9, atol=2e-4)
    torch.testing.assert_close(score, expected[1], rtol=1e-6, atol=1e-6)
    # A sibling: were the far ones left out, these would be other numbers.
    near = GaussianSum(mean[:1400], factor if shared else factor[..., :1400]).score(points)
    assert float((near - expected[1]).abs().max()) > 1e-3


def test_a_single_gaussian_is_itself_at_any_distance() -> None:
    mean, factor = gaussians(2, 1, True)
    points = torch.tensor([[0.0, 0.0], [1e3, -1e3], [1e8, 0.0]], dtype=torch.float64)
    density, score = GaussianSum(mean, factor).evaluate(points)
    expected = brute_force(mean, factor, points, torch.zeros(1, dtype=torch.float64))
    torch.testing.assert_close(density, expected[0], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(score, expected[1], rtol=1e-9, atol=1e-9)


def test_points_that_are_not_finite_have_no_score_and_leave_the_others_theirs() -> None:
    mean, factor = gaussians(2, 700, False)
    points = torch.zeros(3, 2, dtype=torch.float64)
    points[1, 0] = torch.nan
    density, score = GaussianSum(mean, factor).evaluate(points)
    assert torch.isnan(density).tolist() == [False, True, False]
    torch.testing.assert_close(score[0], score[2], rtol=1e-12, atol=0)
    nothing = GaussianSum(mean, factor).score(torch.full((2, 2), torch.nan, dtype=torch.float64))
    assert torch.isnan(nothing).all()


def test_every_point_is_in_one_box_and_no_box_has_too_many() -> None:
    points = torch.randn(1001, 3, generator=torch.Generator().manual_seed(2))
    boxes = partition(points, 64)
    assert sorted(torch.cat(boxes).tolist()) == list(range(1001))
    assert max(map(len, boxes)) <= 64
    assert len(boxes) == math.ceil(1001 / 64)
    sides = torch.stack([points[box].amax(0) - points[box].amin(0) for box in boxes]).mean()
    assert float(sides) < 0.6 * float((points.amax(0) - points.amin(0)).mean())
