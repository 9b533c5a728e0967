r"""Exponents of Gaussians as polynomials, so that very many of them are one matrix product.

.. math:: \log w\,N(x; m, L L^T) + \tfrac{d}{2} \log 2 \pi = c_0 + \sum_i c_i x_i + \sum_{i \le j} c_{ij} x_i x_j
"""

import torch
from torch import Tensor

from physcore.small_matrices import solve_lower

__all__ = ["coefficients", "gradient", "powers"]


def coefficients(mean: Tensor, factor: Tensor, log_weight: Tensor, second: bool = True) -> Tensor:
    r"""Return the coefficients of the exponents.

    Arguments:
        mean: Means :math:`m`, shape ``(gaussian, component)``.
        factor: Lower factors :math:`L`, shape ``(component, component, gaussian)``, or ``(component, component, 1)``
            where one serves all.
        log_weight: Logarithms of the weights :math:`w`, shape ``(gaussian,)``.
        second: Whether to give those of second degree, which are the same for all where one factor serves all.

    Returns:
        A row for each Gaussian in the order of ``powers``.
    """
    count, d = mean.shape
    axes = torch.eye(d, dtype=mean.dtype)
    inverse = torch.stack([solve_lower(factor, axis.unsqueeze(-1).expand(-1, factor.shape[-1])) for axis in axes], 1)
    white = (inverse * mean.T).sum(1)
    columns = [log_weight - factor.diagonal().log().sum(-1) - 0.5 * white.square().sum(0)]
    columns += [(inverse[:, i] * white).sum(0) for i in range(d)]
    if second:
        for i in range(d):
            columns += [(inverse[:, i] * inverse[:, j]).sum(0) * (-0.5 if i == j else -1.0) for j in range(i, d)]
    return torch.stack([column.expand(count) for column in columns], 1)


def powers(points: Tensor, second: bool = True) -> Tensor:
    """Return 1, the components and, where asked for, their products.

    Arguments:
        points: Points, shape ``(point, component)``.
        second: Whether to give the products.

    Returns:
        Shape ``(point, power)``.
    """
    columns = [torch.ones_like(points[:, 0]), *points.T]
    if second:
        d = points.shape[-1]
        columns += [points[:, i] * points[:, j] for i in range(d) for j in range(i, d)]
    return torch.stack(columns, 1)


def gradient(points: Tensor, table: Tensor) -> Tensor:
    """Return the gradient of one polynomial at each point.

    Arguments:
        points: Points, shape ``(point, component)``.
        table: Coefficients, a row for each point.

    Returns:
        Shape of ``points``.
    """
    d = points.shape[-1]
    slope = table[:, 1 : d + 1].clone()
    place = d + 1
    if table.shape[1] > place:
        for i in range(d):
            for j in range(i, d):
                slope[:, i] += table[:, place] * points[:, j]
                slope[:, j] += table[:, place] * points[:, i]
                place += 1
    return slope
