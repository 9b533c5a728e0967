"""Sums over particles in an order of their own.

The order in which ``torch.sum`` adds depends on the shape and on the strides of the whole tensor, so that the last bits
of one path would depend on how many others are simulated with it.
"""

import torch
from torch import Tensor

__all__ = ["ordered_sum"]


def ordered_sum(values: Tensor) -> Tensor:
    """Return the sum over the last axis, which is kept with length one, by adding halves.

    Arguments:
        values: Shape ``(..., term)``.

    Returns:
        Shape ``(..., 1)``; the same bits for any leading shape and any layout in memory.

    Error:
        Rounding grows with the logarithm of the number of terms.
    """
    if values.shape[-1] == 0:
        return values.sum(-1, keepdim=True)
    while values.shape[-1] > 1:
        half = values.shape[-1] // 2
        rest = values[..., 2 * half :]
        values = values[..., :half] + values[..., half : 2 * half]
        values = torch.cat([values, rest], -1) if rest.shape[-1] else values
    return values
