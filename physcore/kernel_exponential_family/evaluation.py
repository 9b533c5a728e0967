r"""How good a density is: its exact score matching loss, and the normaliser that its likelihood needs.

.. math:: \mathcal L = E\left[\tfrac12 |s|^2 + \nabla \cdot s\right], \qquad
          \log Z = \log E_{x \sim N(0, \sigma^2 1)}\left[\tilde p(x) / N(x; 0, \sigma^2 1)\right]

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
    width: float = 2.0,
    generator: torch.Generator,
) -> LogNormalizer:
    r"""Estimate the log normaliser by importance sampling from :math:`N(0, \sigma^2 1)`.

    Arguments:
        family: The density.
        samples: How many points are drawn, at least two.
        width: :math:`\sigma`, in units of the state; the base measure's width bounds the weights.
        generator: Source of randomness.

    Raises:
        ValueError: If there are fewer than two samples or the width is not positive.
        NumericalError: If the weights are not finite.

    Error:
        The standard error is itself an estimate, and too small where few samples carry the weights.
    """
    if samples < 2:
        raise ValueError(f"`samples` must be at least 2; got {samples}.")
    if not (width > 0 and math.isfinite(width)):
        raise ValueError(f"`width` must be positive and finite; got {width}.")
    weights, like, norm = [], family.inducing, 0.5 * family.dimension * math.log(2 * math.pi * width**2)
    for first in range(0, samples, SAMPLES_AT_ONCE):
        count = min(SAMPLES_AT_ONCE, samples - first)
        white = torch.randn(count, family.dimension, generator=generator, dtype=like.dtype, device=like.device)
        weights.append(family.log_density_unnormalised(width * white) + 0.5 * white.square().sum(-1))
    logarithms = torch.cat(weights).double()
    if not bool(torch.isfinite(logarithms).all()):
        raise NumericalError("the importance weights are not finite; the density or its coefficients overflow.")
    largest = logarithms.max()
    relative = (logarithms - largest).exp()
    mean = relative.mean()
    return LogNormalizer(
        value=float(mean.log() + largest) + norm,
        standard_error=float(relative.std() / mean) / math.sqrt(samples),
        effective_samples=float(relative.sum().square() / relative.square().sum()),
    )
