r"""The map of the drift alone over a step, and what it does to tangents, scores and moments.

A step of a path is a map of the drift, :math:`x \mapsto \Phi(x)`, by Heun's scheme, between two halves of the noise,
:math:`x \mapsto x + G \Delta W`: of weak order 2.
"""

import math

import torch
from torch import Tensor

from physcore.process import Process
from physcore.small_matrices import UNROLLED, cholesky_unchecked

__all__ = [
    "followed",
    "mapped",
    "moments_carried",
    "noise_columns",
    "packed",
    "slope_carried",
    "tangent_map",
    "unpacked",
]


def mapped(process: Process, state: Tensor, time: Tensor, step: Tensor) -> Tensor:
    """Return where the drift alone takes states ``(..., component)`` in a step, to second order (Heun)."""
    wide = step.unsqueeze(-1)
    drift = process.drift(state, time)
    return state + 0.5 * wide * (drift + process.drift(state + wide * drift, time + step))


def followed(process: Process, state: Tensor, time: Tensor, duration: Tensor, steps: int) -> Tensor:
    """Return where the drift alone takes states ``(batch, component)`` in a while, to fourth order in its steps."""
    step = duration / steps
    half, wide = 0.5 * step, step.unsqueeze(-1)
    for _ in range(steps):
        first = process.drift(state, time)
        second = process.drift(state + 0.5 * wide * first, time + half)
        third = process.drift(state + 0.5 * wide * second, time + half)
        fourth = process.drift(state + wide * third, time + step)
        state, time = state + wide / 6 * (first + 2 * (second + third) + fourth), time + step
    return state


def tangent_map(process: Process, point: Tensor, time: Tensor, step: Tensor, further: bool) -> tuple[Tensor, Tensor]:
    r"""Return the map of states and its Jacobian, which can be differentiated where ``further``.

    Arguments:
        process: The process.
        point: States that require gradients, shape ``(..., component)``.
        time: Their times, shape ``(...)``.
        step: Durations, shape ``(...)``.
        further: Whether to build the graph of the Jacobian.

    Returns:
        States :math:`\Phi`, shape of ``point``, and :math:`D\Phi`, shape ``(row, column, ...)``.
    """
    with torch.enable_grad():
        moved = mapped(process, point, time, step)
        rows = [
            torch.autograd.grad(entry.sum(), point, retain_graph=True, create_graph=further, materialize_grads=True)[0]
            for entry in moved.unbind(-1)
        ]
        return moved, torch.stack(rows).movedim(-1, 1)


def sigma_points(mean: Tensor, covariance: Tensor) -> Tensor:
    """Return the points m +- sqrt(d) L e_k, shape ``(batch, 2 d, component)``, of (batch, d) and ``(d, d, batch)``."""
    spread = (math.sqrt(mean.shape[-1]) * cholesky_unchecked(covariance)).permute(2, 1, 0)
    return torch.cat([mean.unsqueeze(1) + spread, mean.unsqueeze(1) - spread], 1)


def moments_carried(
    process: Process, mean: Tensor, covariance: Tensor, time: Tensor, step: Tensor
) -> tuple[Tensor, Tensor]:
    """Return mean and covariance after the map of the drift, those of the images of sigma points."""
    moved = mapped(process, sigma_points(mean, covariance), time.unsqueeze(-1), step.unsqueeze(-1))
    mean = moved.mean(1)
    apart = moved - mean.unsqueeze(1)
    if process.dimension > UNROLLED:
        return mean, (apart.mT @ apart / apart.shape[1]).permute(1, 2, 0)
    apart = apart.permute(2, 1, 0)
    return mean, (apart.unsqueeze(1) * apart.unsqueeze(0)).mean(2)


def slope_carried(
    process: Process, mean: Tensor, covariance: Tensor, time: Tensor, step: Tensor
) -> tuple[Tensor, Tensor]:
    r"""Return the mean after the map of the drift, and the linear map that fits best over a Gaussian.

    Arguments:
        process: The process.
        mean: Means, shape ``(batch, component)``.
        covariance: Covariances, shape ``(d, d, batch)``.
        time: Times, shape ``(batch,)``.
        step: Durations, shape ``(batch,)``.

    Returns:
        Means, and :math:`F = E[D\Phi]`, which is :math:`E[\Delta\Phi\,\Delta x^T]\,\Sigma^{-1}` by Stein's identity
        and loses no digits where the Gaussian is narrow, shape ``(d, d, batch)``.
    """
    with torch.enable_grad():
        points = sigma_points(mean, covariance).detach().requires_grad_()
        times, steps = (each.unsqueeze(-1).expand(points.shape[:-1]) for each in (time, step))
        moved, jacobian = tangent_map(process, points, times, steps, further=False)
    return moved.detach().mean(1), jacobian.detach().mean(-1)


def noise_columns(process: Process, state: Tensor, time: Tensor) -> Tensor:
    """Return the noise matrix, shape ``(component, noise, batch)`` or with a batch of one, in the states' dtype."""
    noise = process.noise_for(state, time)
    return noise.unsqueeze(-1) if noise.ndim == 2 else noise.permute(1, 2, 0)


def packed(matrix: Tensor) -> Tensor:
    """Return the lower triangles of symmetric matrices ``(d, d, batch)``, shape ``(d (d + 1) / 2, batch)``."""
    return torch.cat([matrix[i, : i + 1] for i in range(len(matrix))])


def unpacked(triangle: Tensor, d: int) -> Tensor:
    """Return the symmetric matrices ``(d, d, batch)`` of lower triangles."""
    places = [max(i, j) * (max(i, j) + 1) // 2 + min(i, j) for i in range(d) for j in range(d)]
    return triangle[places].reshape(d, d, -1)
