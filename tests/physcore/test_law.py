"""The Gaussian law: its score is the gradient of its log density, and its samples follow it."""

import pytest
import scipy.stats
import torch

from physcore import Gaussian


def law(*batch: int, d: int = 3) -> Gaussian:
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(*batch, d, d, generator=generator, dtype=torch.float64)
    mean = torch.randn(*batch, d, generator=generator, dtype=torch.float64)
    return Gaussian(mean=mean, covariance=root @ root.mT + 0.1 * torch.eye(d, dtype=torch.float64))


@pytest.mark.parametrize("batch", [(), (4,), (2, 4)], ids=str)
def test_score_is_the_gradient_of_the_log_density(batch: tuple[int, ...]) -> None:
    gaussian = law(*batch)
    state = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    gradient = torch.autograd.grad(gaussian.log_density(state).sum(), state)[0]
    torch.testing.assert_close(gaussian.score(state.detach()), gradient, rtol=1e-11, atol=1e-11)


def test_log_density_is_scipy_s() -> None:
    gaussian = law()
    state = torch.randn(20, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = scipy.stats.multivariate_normal(gaussian.mean, gaussian.covariance).logpdf(state)
    torch.testing.assert_close(gaussian.log_density(state), torch.from_numpy(expected), rtol=1e-11, atol=1e-11)


def largest_z(samples: torch.Tensor, mean: torch.Tensor, covariance: torch.Tensor) -> float:
    n, centred = len(samples), samples - mean
    z_mean = centred.mean(0) / (covariance.diagonal() / n).sqrt()
    variance = (covariance.square() + torch.outer(covariance.diagonal(), covariance.diagonal())) / n
    z_covariance = (centred.T @ centred / n - covariance) / variance.sqrt()
    return float(torch.cat([z_mean.flatten(), z_covariance.flatten()]).abs().max())


def test_samples_have_mean_and_covariance_of_the_law() -> None:
    gaussian = law()
    samples = gaussian.sample(100_000, torch.Generator().manual_seed(2))
    assert largest_z(samples, gaussian.mean, gaussian.covariance) < 5
    # Siblings: a transposed factor and a mean that is off by a hundredth must be seen.
    factor = torch.linalg.cholesky(gaussian.covariance)
    assert largest_z(samples, gaussian.mean, factor.T @ factor) > 5
    assert largest_z(samples, gaussian.mean + 0.05, gaussian.covariance) > 5


def test_a_batch_of_laws_cannot_be_sampled() -> None:
    with pytest.raises(ValueError, match="one law"):
        law(4).sample(3, torch.Generator())


@pytest.mark.parametrize(
    ("covariance", "what"),
    [(torch.eye(3), r"\(2, 2\)"), (torch.diag(torch.tensor([1.0, -0.5])), "-0.5"), (torch.zeros(2, 2), "positive")],
    ids=["shape", "indefinite", "singular"],
)
def test_a_wrong_covariance_is_refused(covariance: torch.Tensor, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        Gaussian(mean=torch.zeros(2), covariance=covariance)
