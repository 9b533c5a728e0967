"""Points divided into boxes of few points each, by halving along the longest side."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["partition"]


def partition(points: Tensor, most: int) -> list[Tensor]:
    """Return the indices of the points in each box.

    Arguments:
        points: Points, shape ``(point, component)``.
        most: Points in a box at most.

    Returns:
        Indices, shape ``(points of the box,)`` for each box; every point is in one.

    Source: Bentley, Multidimensional binary search trees used for associative searching (1975).
    """
    places = points.detach().cpu().numpy()
    boxes: list[Tensor] = []
    waiting: list[NDArray[np.intp]] = [np.arange(len(places))] if len(places) else []
    while waiting:
        indices = waiting.pop()
        if len(indices) <= most:
            boxes.append(torch.from_numpy(indices))
            continue
        inside = places[indices]
        column = inside[:, int(np.argmax(np.ptp(inside, axis=0)))]
        # Whole boxes on one side, so that but one box is not full.
        middle = -(-len(indices) // most) // 2 * most
        order = np.argpartition(column, middle)
        waiting += [indices[order[middle:]], indices[order[:middle]]]
    return boxes
