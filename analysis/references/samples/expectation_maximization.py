r"""Gaussians fitted to samples by expectation and maximization.

.. math:: r_k(x) \propto w_k\,N(x; \mu_k, \Sigma_k), \qquad w_k = E\,r_k, \qquad \mu_k = \frac{E\,r_k x}{w_k}, \qquad
          \Sigma_k = \frac{E\,r_k x x^T}{w_k} - \mu_k \mu_k^T

Source: Dempster, Laird and Rubin, Maximum likelihood from incomplete data via the EM algorithm (1977); the start:
Arthur and Vassilvitskii, k-means++: the advantages of careful seeding (2007).
"""

import dataclasses

import torch
from torch import Tensor

from analysis.references.samples.quadratic import coefficients, powers

__all__ = ["Mixture", "fitted_mixture"]

CHUNK = 50_000
LEAST_VARIANCE = 1e-6  # in whitened coordinates, so that none shrinks onto one sample
LEAST_SAMPLES = 1e-3  # behind a Gaussian; below, it has died


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Weighted Gaussians.

    Arguments:
        mean: Means, shape ``(gaussian, component)``.
        factor: Lower Cholesky factors, shape ``(component, component, gaussian)``.
        log_weight: Logarithms of the weights, shape ``(gaussian,)``.
    """

    mean: Tensor
    factor: Tensor
    log_weight: Tensor

    def mean_log_density(self, points: Tensor) -> float:
        """Return the mean log density at points, but for a constant."""
        return sum(float(torch.logsumexp(part, 1).sum()) for part in self.exponents(powers(points))) / len(points)

    def exponents(self, known: Tensor) -> list[Tensor]:
        """Return the logarithms of each Gaussian's part of the density, shape ``(point, gaussian)`` in chunks."""
        table = coefficients(self.mean, self.factor, self.log_weight)
        return [part @ table.T for part in torch.split(known, CHUNK)]


def fitted_mixture(
    points: Tensor, count: int, iterations: int, tolerance: float, generator: torch.Generator
) -> Mixture:
    """Fit a mixture to points of mean zero and unit covariance.

    Arguments:
        points: Samples, shape ``(sample, component)``.
        count: Number of Gaussians.
        iterations: How many at most.
        tolerance: Gain of the mean log density in an iteration below which it ends.
        generator: Source of randomness of the start.
    """
    d = points.shape[-1]
    known = powers(points)
    spread = count ** (-1 / d)
    mixture = Mixture(
        _spread_out(points, count, generator),
        (spread * torch.eye(d, dtype=points.dtype)).unsqueeze(-1).repeat(1, 1, count),
        torch.full((count,), -torch.log(torch.tensor(float(count))).item(), dtype=points.dtype),
    )
    before = -torch.inf
    for _ in range(iterations):
        moments, likelihood = _expected(mixture, known)
        mixture = _maximized(moments, d)
        if likelihood - before < tolerance:
            break
        before = likelihood
    return mixture


def _expected(mixture: Mixture, known: Tensor) -> tuple[Tensor, float]:
    """Return the mean of shares times powers, a row for each Gaussian, and the mean log density."""
    moments, likelihood = torch.zeros(len(mixture.mean), known.shape[1], dtype=known.dtype), 0.0
    for exponents, part in zip(mixture.exponents(known), torch.split(known, CHUNK), strict=True):
        logarithm = torch.logsumexp(exponents, 1, keepdim=True)
        moments += torch.exp(exponents - logarithm).T @ part
        likelihood += float(logarithm.sum())
    return moments / len(known), likelihood / len(known)


def _maximized(moments: Tensor, d: int) -> Mixture:
    """Return the mixture with these moments; what has died is left out."""
    moments = moments[moments[:, 0] > LEAST_SAMPLES * moments[:, 0].mean()]
    weight = moments[:, 0]
    mean = moments[:, 1 : d + 1] / weight.unsqueeze(-1)
    rows, columns = torch.triu_indices(d, d)
    second = torch.empty(len(moments), d, d, dtype=moments.dtype)
    second[:, rows, columns] = second[:, columns, rows] = moments[:, d + 1 :] / weight.unsqueeze(-1)
    covariance = second - mean.unsqueeze(-1) * mean.unsqueeze(-2)
    covariance += LEAST_VARIANCE * torch.eye(d, dtype=moments.dtype)
    return Mixture(mean, torch.linalg.cholesky(covariance).permute(1, 2, 0), torch.log(weight / weight.sum()))


def _spread_out(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return points far from each other, drawn with probabilities that grow with the distance squared."""
    some = points[torch.randperm(len(points), generator=generator)[:CHUNK]]
    chosen = [some[0]]
    nearest = (some - chosen[0]).square().sum(-1)
    for _ in range(count - 1):
        chosen.append(some[int(torch.multinomial(nearest[: 2**24], 1, generator=generator))])
        nearest = torch.minimum(nearest, (some - chosen[-1]).square().sum(-1))
    return torch.stack(chosen)
