r"""Displacements in open space and in a periodic box.

.. math:: d \mapsto d - L\,\mathrm{round}(d / L)

Positions may lie anywhere: particles that left the box are not brought back, so that their way can be measured, and are
found by their nearest images.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["check_box", "displacements"]


def check_box(box: Sequence[float] | None, dimension: int, cutoff: float) -> None:
    """Refuse a box in which a particle could meet two images of another.

    Arguments:
        box: Periods, one for each direction, [length]; None in open space.
        dimension: Number of directions.
        cutoff: Distance from which on the force vanishes, [length].

    Raises:
        ValueError: If the box has another number of directions or a period below two cutoffs.
    """
    if box is None:
        return
    if len(box) != dimension:
        raise ValueError(f"`box` must have {dimension} periods, one for each direction; got {tuple(box)}.")
    if min(box) < 2 * cutoff:
        raise ValueError(
            f"`box` must be at least two cutoffs, {2 * cutoff:g}, wide; got {tuple(box)}. Use more particles, "
            "a lower density or a shorter cutoff."
        )


def displacements(positions: Sequence[Tensor], first: Tensor, second: Tensor, box: Sequence[float] | None) -> Tensor:
    """Return the displacements of pairs, nearest images in a box.

    Arguments:
        positions: Positions in each direction, shape ``(..., particle)``, [length].
        first: Indices of the first particles, shape ``(pair,)``.
        second: Indices of the second particles, shape ``(pair,)``.
        box: Periods, one for each direction; None in open space.

    Returns:
        First minus second, shape ``(..., pair, dimension)``, a view with the pairs contiguous in memory.
    """
    parts = []
    for axis, x in enumerate(positions):
        apart = x.index_select(-1, first) - x.index_select(-1, second)
        if box is not None:
            apart = apart - box[axis] * torch.round(apart * (1 / box[axis]))
        parts.append(apart)
    return torch.stack(parts, -2).mT
