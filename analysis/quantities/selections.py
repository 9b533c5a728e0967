"""Selections of the components of a score whose errors are told: all, the driven ones, and each."""

import torch
from torch import Tensor

from physcore.process import Process

__all__ = ["selected_squares", "selections"]


def selections(process: Process) -> dict[str, list[int]]:
    """Return the indices of the components of each selection, by its name.

    Arguments:
        process: The process.
    """
    names = [variable.name for variable in process.variables]
    whole = {"full": list(range(len(names))), "driven": list(process.driven)}
    return whole | {name: [i] for i, name in enumerate(names)}


def selected_squares(process: Process, scores: Tensor) -> Tensor:
    """Return the sums of squares over each selection, shape ``(path, selection)``.

    Arguments:
        process: The process.
        scores: Scores of all components, shape ``(path, component)``.
    """
    squares = scores.square()
    driven = squares[:, list(process.driven)].sum(-1, keepdim=True)
    return torch.cat([squares.sum(-1, keepdim=True), driven, squares], -1)
