r"""Means over paths and their standard errors.

.. math:: \bar a = \frac1N \sum_{n=1}^N a_n, \qquad
          \sigma_{\bar a} = \sqrt{\frac{1}{N (N - 1)} \sum_{n=1}^N \left(a_n - \bar a\right)^2}

and of a ratio of means :math:`r = \bar a / \bar b` the same of :math:`(a_n - r b_n) / \bar b`. Paths are independent
and frames of a path are not, so a path is the unit of error.

Source: standard error of a ratio: Cochran, Sampling Techniques (1977), section 6.4.
"""

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.quantities.blocks import Sums

__all__ = ["PathMeans", "sums_of", "sums_of_products", "sums_of_ratio"]


@dataclasses.dataclass(frozen=True)
class PathMeans:
    """Means over paths.

    Arguments:
        value: Means, any shape; NaN where there is no path.
        standard_error: Their standard errors, the same shape; NaN where there are not two paths.
    """

    value: NDArray[np.float64]
    standard_error: NDArray[np.float64]

    @classmethod
    def of(cls, sums: Sums) -> "PathMeans":
        """Return the means behind sums ``(count, sum, sum of squares)`` on the first axis."""
        count, first, second = sums
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = first / count
            variance = np.maximum(second / count - mean**2, 0.0)
            error = np.where(count > 1, np.sqrt(variance / (count - 1)), np.nan)
        return cls(np.where(count > 0, mean, np.nan), error)

    @classmethod
    def of_ratio(cls, sums: Sums) -> "PathMeans":
        """Return the ratios of means behind sums as ``sums_of_ratio`` returns them; NaN where the means vanish."""
        with np.errstate(invalid="ignore", divide="ignore"):
            above, below, above_squared, both, below_squared = sums[1:] / sums[0]
            ratio = above / below
            scatter = np.maximum(above_squared - 2 * ratio * both + ratio**2 * below_squared, 0.0)
            error = np.where(sums[0] > 1, np.sqrt(scatter / (sums[0] - 1)) / below, np.nan)
        return cls(ratio, error)


def sums_of_ratio(numerators: Tensor, denominators: Tensor, known: Tensor) -> Sums:
    """Return count, sums, sums of squares and sum of products over paths, shape ``(6, quantity)``.

    Arguments:
        numerators: Values of each path, shape ``(path, quantity)``.
        denominators: Values of each path, the same shape.
        known: Which paths count, shape ``(path,)``.
    """
    above, below = (torch.where(known.unsqueeze(-1), v.double(), 0.0) for v in (numerators, denominators))
    products = (above, below, above.square(), above * below, below.square())
    count = known.sum().double().expand(above.shape[1])
    return torch.stack([count, *(values.sum(0) for values in products)]).cpu().numpy()


def sums_of(values: Tensor, known: Tensor) -> Sums:
    """Return count, sum and sum of squares over paths, shape ``(3, quantity)``.

    Arguments:
        values: Values of each path, shape ``(path, quantity)``.
        known: Which paths count, shape ``(path,)``.
    """
    values = torch.where(known.unsqueeze(-1), values.double(), 0.0)
    count = known.sum().double().expand(values.shape[1])
    return torch.stack([count, values.sum(0), values.square().sum(0)]).cpu().numpy()


def sums_of_products(left: Tensor, right: Tensor, known: Tensor) -> Sums:
    """Return the same of the products of two sets of values, shape ``(3, left, right)``, without making them all.

    Arguments:
        left: Values of each path, shape ``(path, left)``.
        right: Values of each path, shape ``(path, right)``.
        known: Which paths count, shape ``(path,)``.
    """
    left, right = (torch.where(known.unsqueeze(-1), values.double(), 0.0) for values in (left, right))
    first, second = left.T @ right, left.square().T @ right.square()
    return torch.stack([known.sum().double().expand_as(first), first, second]).cpu().numpy()
