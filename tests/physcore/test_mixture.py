"""Mixtures of Gaussians: density, score and samples belong together."""

import pytest
import torch

from physcore.law import Gaussian
from physcore.mixture import GaussianMixture

MIXTURE = GaussianMixture(means=((-1.0, 0.5), (1.2, 0.0), (0.3, -1.0)), width=0.6, weights=(0.5, 0.2, 0.3))
POINTS = 2 * torch.randn(50, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_density_is_the_weighted_sum_of_gaussians() -> None:
    covariance = 0.36 * torch.eye(2, dtype=torch.float64)
    total = sum(
        weight * Gaussian(mean=torch.tensor(mean, dtype=torch.float64), covariance=covariance).log_density(POINTS).exp()
        for weight, mean in zip((0.5, 0.2, 0.3), MIXTURE.means, strict=True)
    )
    torch.testing.assert_close(MIXTURE.log_density(POINTS).exp(), total)


def test_score_is_the_slope_of_the_log_density_also_far_out() -> None:
    for state in (POINTS, 100 * POINTS):
        slope = torch.func.grad(lambda x: MIXTURE.log_density(x).sum())(state)
        torch.testing.assert_close(MIXTURE.score(state), slope)


def test_samples_have_the_mean_and_the_mean_square_of_the_law() -> None:
    samples = MIXTURE.sample(20_000, torch.Generator().manual_seed(2))
    mean = torch.tensor([0.5 * -1.0 + 0.2 * 1.2 + 0.3 * 0.3, 0.5 * 0.5 - 0.3], dtype=torch.float64)
    error = samples.std(0) / 20_000**0.5
    assert ((samples.mean(0) - mean) / error).abs().max() < 5
    square = samples.square().sum(-1)
    assert abs((square.mean() - MIXTURE.mean_square) / (square.std() / 20_000**0.5)) < 5
    narrower = GaussianMixture(means=MIXTURE.means, width=0.53, weights=MIXTURE.weights)
    assert abs((square.mean() - narrower.mean_square) / (square.std() / 20_000**0.5)) > 5


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"means": ()}, "`means`"),
        ({"means": ((0.0,), (0.0, 1.0))}, "`means`"),
        ({"means": ((float("nan"),),)}, "`means`"),
        ({"width": 0.0}, "`width`"),
        ({"weights": (0.5, 0.5)}, "`weights`"),
        ({"weights": (0.5, 0.2, 0.2)}, "`weights`"),
        ({"weights": (1.5, -0.2, -0.3)}, "`weights`"),
    ],
    ids=str,
)
def test_d7_what_makes_no_law_is_refused_by_name(changed: dict[str, object], what: str) -> None:
    settings = {"means": MIXTURE.means, "width": 0.6, "weights": MIXTURE.weights, **changed}
    with pytest.raises(ValueError, match=what):
        GaussianMixture(**settings)  # type: ignore[arg-type]
