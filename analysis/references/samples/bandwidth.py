r"""The bandwidth of a Gaussian kernel density whose score is best, by cross-validation.

In coordinates in which the samples have unit covariance the mean square error of a score :math:`\hat s` is, but for a
constant,

.. math:: E\left[|\hat s(X)|^2 + 2 \nabla \cdot \hat s(X)\right],

which needs samples alone. For kernels of width :math:`h` about points :math:`x_j`, with shares :math:`r_j`,

.. math:: \hat s = \frac{\bar x - x}{h^2}, \qquad
          \nabla \cdot \hat s = \frac{\sum_j r_j |x_j - x|^2 - |\bar x - x|^2}{h^4} - \frac{d}{h^2}, \qquad
          \bar x = \sum_j r_j x_j .

The best width falls as :math:`N^{-1/(d + 6)}` with the number of points, so a part of them tells it for all.

Sources: Hyvärinen, Estimation of non-normalized statistical models by score matching (2005), theorem 1; Chacón, Duong
and Wand, Asymptotics for general multivariate kernel density derivative estimators (2011), for the rate; the closed
form is derived.
"""

import math

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

__all__ = ["cross_validated_bandwidth"]

CENTRES, HELD_OUT = 10_000, 1000
CHUNK = 250
RANGE = (0.05, 2.0)  # of widths, in those of Scott's rule
TOLERANCE = 0.03  # of the logarithm of the width


def cross_validated_bandwidth(points: Tensor) -> float:
    """Return the width of the kernels.

    Arguments:
        points: Points in no order, of unit covariance, shape ``(point, component)``.
    """
    count, d = points.shape
    held_out = points[: min(HELD_OUT, count // 2)]
    centres = points[len(held_out) :][:CENTRES]
    scott = len(centres) ** (-1 / (d + 4))
    low, high = (math.log(scott * end) for end in RANGE)
    found = minimize_scalar(
        lambda logarithm: _criterion(held_out, centres, math.exp(logarithm)),
        bounds=(low, high),
        method="bounded",
        options={"xatol": TOLERANCE},
    )
    return float(math.exp(float(found.x)) * (count / len(centres)) ** (-1 / (d + 6)))


def _criterion(points: Tensor, centres: Tensor, width: float) -> float:
    """Return the criterion of one width at points that are none of the centres."""
    d = points.shape[-1]
    moments = torch.cat([torch.ones_like(centres[:, :1]), centres], 1)
    total = 0.0
    for part in torch.split(points, CHUNK):
        squares = torch.cdist(part, centres).square()
        shares = torch.exp((squares.amin(1, keepdim=True) - squares).div_(2 * width**2).clamp_(min=-100.0))
        sums = shares @ moments
        towards = (sums[:, 1:] / sums[:, :1] - part) / width**2
        spread = (shares * squares).sum(1) / sums[:, 0] / width**4
        total += float((2 * spread - towards.square().sum(-1)).sum())
    return total / len(points) - 2 * d / width**2
