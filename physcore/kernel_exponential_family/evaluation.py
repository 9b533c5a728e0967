r"""How good a density is: its exact score matching loss, and the normaliser that its likelihood needs.

.. math:: \mathcal L = E\left[\tfrac12 |s|^2 + \nabla \cdot s\right], \qquad
          \log Z = \log E_{x \sim q}\left[\tilde p(x) / q(x)\right]

Source: Hyvärinen, Estimation of non-normalized statistical models by score matching (2005); importance sampling: Owen,
Monte Carlo theory, methods and examples (2013), chapter 9.
"""

import dataclasses
import math

import torch
from torch import Tensor

from physcore.errors import NumericalError
from physcore.kernel_exponential_family.directions import Directions
from physcore.kernel_exponential_family.family import DeepKernelExponentialFamily
from physcore.kernel_exponential_family.proposals import IsotropicGaussian, Proposal

__all__ = ["Estimate", "LogNormalizer", "log_normalizer", "score_matching_loss"]

SAMPLES_AT_ONCE = 512  # whose products with some hundred kernels stay in the cache


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean with the standard error of its points.

    Arguments:
        value: The mean.
        standard_error: Its standard error.
    """

    value: float
    standard_error: float

    @classmethod
    def of(cls, values: Tensor) -> "Estimate":
        """Return the mean of independent values."""
        return cls(float(values.mean()), float(values.std()) / math.sqrt(values.numel()))


@dataclasses.dataclass(frozen=True)
class LogNormalizer:
    """An estimated log normaliser.

    Arguments:
        value: The estimate.
        standard_error: Its standard error, by the delta method.
        effective_samples: How many equal weights would have the variance of the weights there were.
    """

    value: float
    standard_error: float
    effective_samples: float


@torch.no_grad()
def score_matching_loss(family: DeepKernelExponentialFamily, points: Tensor) -> Estimate:
    """Return the exact score matching loss over points.

    Arguments:
        family: The density.
        points: Shape ``(batch, component)``, at least two.

    Returns:
        Mean and standard error over the points; lower is better, and a constant of the data is left out.
    """
    return Estimate.of(family.losses(Directions.axes(points.to(family.inducing), second=True)))


@torch.no_grad()
def log_normalizer(
    family: DeepKernelExponentialFamily,
    *,
    samples: int = 1_000_000,
    proposal: Proposal | None = None,
    generator: torch.Generator,
) -> LogNormalizer:
    r"""Estimate the log normaliser by importance sampling.

    Arguments:
        family: The density.
        samples: How many points are drawn, at least two.
        proposal: Law they are drawn from; the base measure when None, which bounds the weights.
        generator: Source of randomness, on the device of the family.

    Raises:
        ValueError: If there are fewer than two samples.
        NumericalError: If the weights are not finite.

    Error:
        The standard error is itself an estimate, and knows nothing of peaks that no sample has met: score matching
        hardly feels a narrow one about a few training points, and it may hold nearly all of the mass.
        ``DefensiveMixture`` about the training points meets those; where two proposals disagree, the smaller
        normaliser is wrong.
    """
    if samples < 2:
        raise ValueError(f"`samples` must be at least 2; got {samples}.")
    law = proposal or IsotropicGaussian(dimension=family.dimension, width=family.base_width)
    weights = []
    for first in range(0, samples, SAMPLES_AT_ONCE):
        points = law.sample(min(SAMPLES_AT_ONCE, samples - first), generator)
        weights.append(family.log_density_unnormalised(points).double() - law.log_density(points))
    logarithms = torch.cat(weights)
    if not bool(torch.isfinite(logarithms).all()):
        raise NumericalError("the importance weights are not finite; the density or its coefficients overflow.")
    largest = logarithms.max()
    relative = (logarithms - largest).exp()
    mean = relative.mean()
    return LogNormalizer(
        value=float(mean.log() + largest),
        standard_error=float(relative.std() / mean) / math.sqrt(samples),
        effective_samples=float(relative.sum().square() / relative.square().sum()),
    )
