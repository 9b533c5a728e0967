r"""Products of small matrices with the vectors of every path, entry by entry.

.. math:: (M v)_i = \sum_j M_{ij} v_j

Library routines round differently for different numbers of paths; a sum of pointwise products over the column
:math:`j` does not, so the bits of a path never depend on its neighbours.
"""

import torch
from torch import Tensor

__all__ = ["act", "multiply"]


def act(matrix: Tensor, vector: Tensor) -> Tensor:
    """Return the products of matrices and vectors.

    Arguments:
        matrix: Shape ``(..., i, j)``.
        vector: Shape ``(..., j)``; leading axes are broadcast.

    Returns:
        Shape ``(..., i)``.
    """
    total = vector[..., :1] * matrix[..., 0]
    for j in range(1, matrix.shape[-1]):
        total = torch.addcmul(total, vector[..., j : j + 1], matrix[..., j])
    return total


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """Return the products of matrices.

    Arguments:
        a: Shape ``(i, j, ...)``, held component first, which is several times faster where a matrix is made of many.
        b: Shape ``(j, k, ...)``; trailing axes are broadcast.

    Returns:
        Shape ``(i, k, ...)``.
    """
    total = a[:, :1] * b[:1]
    for j in range(1, a.shape[1]):
        total = torch.addcmul(total, a[:, j : j + 1], b[j : j + 1])
    return total
