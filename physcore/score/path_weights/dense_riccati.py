r"""The Riccati gain with a covariance matrix for each path.

The covariance given the start is that of :math:`2 d` points carried by the map of the drift, whose Jacobian is taken
row by row.
"""

import torch
from torch import Tensor

from physcore.process import Process
from physcore.score.path_weights.drift_map import moments_carried, noise_columns, packed, tangent_map, unpacked
from physcore.score.path_weights.riccati_targets import Riccati
from physcore.score.transitions import LocalTransition
from physcore.small_matrices import cholesky_unchecked, determinant_logarithm, solve_factored, solve_transposed_general

__all__ = ["DENSE"]


def _width(transition: LocalTransition) -> Tensor:
    """Return the lower triangles of the covariances."""
    return packed(transition.covariance.permute(1, 2, 0))


def _step(process: Process, columns: Tensor, _: Tensor, normals: Tensor) -> Tensor:
    """Return the columns ``(path, entry)`` of paths one step later."""
    d, n = process.dimension, process.noises
    state, target, mean = columns[:, :d], columns[:, d : 2 * d], columns[:, 2 * d : 3 * d]
    covariance = unpacked(columns.T[3 * d : -2], d)
    time, step = columns[:, -2], columns[:, -1]
    half = 0.5 * step

    def shaken(
        state: Tensor, target: Tensor, covariance: Tensor, time: Tensor, normals: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        noise = noise_columns(process, state, time)
        diffusion = (noise.unsqueeze(1) * noise.unsqueeze(0)).sum(2)
        kick = (noise * (normals.T * half.sqrt()).unsqueeze(0)).sum(1)
        covariance = covariance + diffusion * half
        pull = (diffusion * target.T).sum(1) * half + kick
        return state + kick.T, target - solve_factored(cholesky_unchecked(covariance), pull).T, covariance

    state, target, covariance = shaken(state, target, covariance, time, normals[:, :n])
    state, target = _carried(process, state, target, time, step)
    mean, covariance = moments_carried(process, mean, covariance, time, step)
    state, target, covariance = shaken(state, target, covariance, time + step, normals[:, n:])
    rows = [state, target, mean, packed(covariance).T, (time + step).unsqueeze(-1), step.unsqueeze(-1)]
    return torch.cat(rows, -1)


def _carried(process: Process, state: Tensor, target: Tensor, time: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Return states after the map of the drift, and targets changed as a score changes under it."""
    with torch.enable_grad():
        point = state.detach().requires_grad_()
        moved, jacobian = tangent_map(process, point, time, step, further=True)
        volume = determinant_logarithm(jacobian)
        growth = (
            torch.autograd.grad(volume.sum(), point, materialize_grads=True)[0]
            if volume.requires_grad
            else torch.zeros_like(state)
        )
    return moved.detach(), solve_transposed_general(jacobian.detach(), (target - growth).T).T


DENSE = Riccati(width=_width, step=_step)
