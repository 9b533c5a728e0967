r"""Base kernels of a Stein discrepancy: functions of the squared distance alone.

.. math:: k(x, x') = \varphi(r), \qquad r = |x - x'|^2, \qquad
          \nabla_x k = 2 \varphi' \delta, \qquad
          \nabla_x \nabla_{x'}^T k = -2 \varphi' I - 4 \varphi'' \delta \delta^T, \qquad \delta = x - x'

With the inverse multiquadric a vanishing discrepancy means convergence in law for distantly dissipative targets in any
dimension; the tails of a Gaussian kernel are too light for that in three dimensions and more.

Source: Gorham and Mackey, Measuring sample quality with kernels (2017), theorems 6 and 8; the median of the distances
for a bandwidth: Gretton et al., A kernel two-sample test (2012), section 8.
"""

import abc
import dataclasses
import math
from typing import Self

import torch
from torch import Tensor

__all__ = ["BaseKernel", "GaussianKernel", "InverseMultiquadricKernel", "median_distance"]

MOST_POINTS = 1000  # of which the median distance is taken


@dataclasses.dataclass(frozen=True, kw_only=True)
class BaseKernel(abc.ABC):
    r"""A positive definite function of the distance.

    Arguments:
        bandwidth: Length :math:`\ell` of the kernel, in the units of the points; their median distance where None.

    Raises:
        ValueError: If the bandwidth is not positive and finite.
    """

    bandwidth: float | None = None

    def __post_init__(self) -> None:
        if self.bandwidth is not None and not (self.bandwidth > 0 and math.isfinite(self.bandwidth)):
            raise ValueError(f"`bandwidth` must be positive and finite, or None; got {self.bandwidth}.")

    @abc.abstractmethod
    def profile(self, square: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        r"""Return :math:`\varphi` and its first two derivatives.

        Arguments:
            square: Squared distances :math:`r`, any shape.

        Returns:
            Three tensors of that shape.
        """

    def fitted(self, points: Tensor) -> Self:
        """Return the kernel with a bandwidth: its own, or the median distance of points of shape ``(n, component)``."""
        if self.bandwidth is not None:
            return self
        return dataclasses.replace(self, bandwidth=median_distance(points))

    @property
    def length(self) -> float:
        """The bandwidth, which must have been chosen.

        Raises:
            ValueError: If it was not.
        """
        if self.bandwidth is None:
            raise ValueError("`bandwidth` of the kernel is not chosen yet; give it, or use `fitted`.")
        return self.bandwidth


@dataclasses.dataclass(frozen=True, kw_only=True)
class InverseMultiquadricKernel(BaseKernel):
    r"""The inverse multiquadric :math:`\varphi(r) = (1 + r / \ell^2)^{-\beta}`.

    Arguments:
        bandwidth: Length :math:`\ell`; the median distance where None.
        exponent: :math:`\beta` in (0, 1).

    Raises:
        ValueError: If a parameter is out of range.
    """

    exponent: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.exponent < 1:
            raise ValueError(f"`exponent` must lie in (0, 1); got {self.exponent}.")

    def profile(self, square: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the kernel and its derivatives; see ``BaseKernel.profile``."""
        scale, beta = self.length**-2, self.exponent
        base = 1 + scale * square
        value = base.rsqrt() if beta == 0.5 else base.pow(-beta)
        first = -beta * scale * value / base
        return value, first, -(beta + 1) * scale * first / base


@dataclasses.dataclass(frozen=True, kw_only=True)
class GaussianKernel(BaseKernel):
    r"""The Gaussian kernel :math:`\varphi(r) = e^{-r / 2 \ell^2}`.

    Arguments:
        bandwidth: Length :math:`\ell`; the median distance where None.
    """

    def profile(self, square: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the kernel and its derivatives; see ``BaseKernel.profile``."""
        scale = 0.5 * self.length**-2
        value = torch.exp(-scale * square)
        return value, -scale * value, scale**2 * value


def median_distance(points: Tensor) -> float:
    """Return the median distance between points, of a thousand that are spread evenly over their order.

    Arguments:
        points: Shape ``(n, component)``, two at least.

    Raises:
        ValueError: If half of the points are the same.
    """
    few = points[:: -(-len(points) // MOST_POINTS)]
    median = float(torch.nn.functional.pdist(few.double()).quantile(0.5))
    if not median > 0:
        raise ValueError("half of the states are the same, so their median distance is no bandwidth; give one.")
    return median
