r"""Smooth functions of a positive variable at very many places, interpolated octave by octave.

Within :math:`a \le x \le 2 a` a function is its polynomial at the Chebyshev points. An octave keeps what vanishes like
a power of :math:`x` within a fixed factor, so that small values lose no digits.

Source: Trefethen, Approximation Theory and Approximation Practice (2013), chapters 3 and 8.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["interpolated", "octaves", "points_for_exponential"]

MOST_POINTS = 64


def octaves(x: Tensor) -> int:
    """Return how many octaves positive values span, at least one."""
    return max(1, math.ceil(math.log2(float(x.amax()) / float(x.amin()))))


def points_for_exponential(largest: float, accuracy: float) -> int | None:
    r"""Return how many points make :math:`e^{\lambda x}` accurate in the last octave.

    Arguments:
        largest: The largest :math:`|\lambda| x`.
        accuracy: Error, relative to the largest value in the octave.

    Returns:
        The number of points; None where more than ``MOST_POINTS`` were needed.
    """
    # The coefficients are modified Bessel functions, I_n(r) <= (r / 2)^n e^r / n! with r half an octave's |lambda| x.
    quarter = largest / 8
    size = math.exp(min(2 * quarter, 700.0))
    for n in range(1, MOST_POINTS + 1):
        size *= quarter / n
        if 2 * size < accuracy:
            return n + 1
    return None


def interpolated(function: Callable[[Tensor], tuple[Tensor, ...]], x: Tensor, points: int) -> tuple[Tensor, ...]:
    """Return values of a function that is known at any places of one octave.

    Arguments:
        function: Values at places ``(place,)`` as tensors ``(..., place)``, float64.
        x: Positive places, shape ``(batch,)``.
        points: Points in an octave.

    Returns:
        Values, shapes ``(..., batch)``, in the precision of ``x``.
    """
    top, count = float(x.amax()), octaves(x)
    order = torch.arange(points, dtype=torch.float64, device=x.device)
    angles = (order + 0.5) * (math.pi / points)
    # From values at the points to coefficients of the polynomials T_n.
    transform = torch.cos(order.unsqueeze(1) * angles) * torch.where(order > 0, 2.0, 1.0).unsqueeze(1) / points
    ends = top * 0.5 ** torch.arange(count, dtype=torch.float64, device=x.device)
    places = ends.unsqueeze(1) * (3 + torch.cos(angles)) / 4
    values = function(places.flatten())
    octave = torch.floor(torch.log2(top / x.double())).clamp(0, count - 1).long()
    results = tuple(x.new_empty(*value.shape[:-1], len(x)) for value in values)
    for index in range(count):
        rows = torch.nonzero(octave == index).squeeze(-1)
        place = (4 * x[rows].double() / ends[index] - 3).clamp(-1, 1)
        polynomials = torch.cos(order.unsqueeze(1) * torch.arccos(place)).to(x.dtype)
        for value, result in zip(values, results, strict=True):
            coefficients = value[..., index * points : (index + 1) * points] @ transform.T
            result[..., rows] = coefficients.to(x.dtype) @ polynomials
    return results
