r"""The Riccati gain of components that each move by themselves: a variance for each in place of a matrix.

The variance given the start is that of two points, one on either side of the mean, and the map of the drift has the
slope :math:`\partial \Phi_i / \partial x_i` alone.
"""

import torch
from torch import Tensor

from physcore.process import Process
from physcore.score.path_weights.drift_map import mapped
from physcore.score.path_weights.riccati_targets import Riccati
from physcore.score.transitions import ComponentwiseTransition

__all__ = ["COMPONENTWISE"]


def _width(transition: ComponentwiseTransition) -> Tensor:
    """Return the variances."""
    return transition.width.square()


def _step(process: Process, columns: Tensor, _: Tensor, normals: Tensor) -> Tensor:
    """Return the columns ``(path, entry)`` of paths one step later."""
    n = process.noises
    state, target, mean, variance = torch.tensor_split(columns[:, :-2], 4, -1)
    time, step = columns[:, -2], columns[:, -1]
    half = 0.5 * step.unsqueeze(-1)

    def shaken(
        state: Tensor, target: Tensor, variance: Tensor, time: Tensor, normals: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        diffusion = process.diffuse(torch.ones_like(normals), time, state).square()
        kick = process.diffuse(normals * half.sqrt(), time, state)
        variance = variance + diffusion * half
        return state + kick, target - (diffusion * target * half + kick) / variance, variance

    state, target, variance = shaken(state, target, variance, time, normals[:, :n])
    state, target = _carried(process, state, target, time, step)
    width = variance.sqrt()
    above, below = (mapped(process, each, time, step) for each in (mean + width, mean - width))
    mean, variance = 0.5 * (above + below), 0.25 * (above - below).square()
    state, target, variance = shaken(state, target, variance, time + step, normals[:, n:])
    return torch.cat([state, target, mean, variance, (time + step).unsqueeze(-1), step.unsqueeze(-1)], -1)


def _carried(process: Process, state: Tensor, target: Tensor, time: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Return states after the map of the drift, and targets changed as a score changes under it."""
    with torch.enable_grad():
        point = state.detach().requires_grad_()
        moved = mapped(process, point, time, step)
        slope = torch.autograd.grad(moved.sum(), point, create_graph=True)[0]
        growth = (
            torch.autograd.grad(slope.abs().log().sum(), point, materialize_grads=True)[0]
            if slope.requires_grad
            else torch.zeros_like(state)
        )
    return moved.detach(), (target - growth) / slope.detach()


COMPONENTWISE = Riccati(width=_width, step=_step)
