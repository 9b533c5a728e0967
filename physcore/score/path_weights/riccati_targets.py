r"""Targets along simulated paths by the gain that is best for a Gaussian law given the start.

Beside a path from :math:`y_s` runs a target :math:`\eta` with :math:`E[\eta \,|\, X, y_s]` the score of the path's law
given its start:

.. math:: \eta \leftarrow D\Phi^{-T} \left(\eta - \nabla \log |\det D\Phi|\right), \qquad
          \eta \leftarrow \eta - M \left(Q\,\Delta u\,\eta + G\,\Delta W\right), \quad Q = G G^T .

The first is the change of a score under a map; what the second adds has mean zero given the new state, by Tweedie's
formula, for any gain :math:`M` that only the start decides. The gain of least noise for a Gaussian law is
:math:`M = \Sigma^{-1}`, which solves a Riccati equation, with :math:`\Sigma` the covariance given the start, here that
of :math:`2 d` points carried by the same map. The path begins with one short step of the linearised process. Every time
along the path has a target.

Source: a Bismut-Elworthy-Li weight in recursive form (Elworthy and Li, Formulae for the derivatives of heat semigroups,
1994); recursion, gain and their exactness in the step are derived.
"""

import functools

import torch
from torch import Tensor

from physcore.process import Process
from physcore.score.linearization import LocalLinearization
from physcore.score.path_weights.column_stepper import ColumnStepper
from physcore.score.path_weights.drift_map import moments_carried, noise_columns, packed, tangent_map, unpacked
from physcore.score.path_weights.path_targets import PathTargets, Starts
from physcore.small_matrices import cholesky_unchecked, determinant_logarithm, solve_factored, solve_transposed_general

__all__ = ["RiccatiTargets"]

FIRST_STEPS = 2  # taken in one by the linearised process


class RiccatiTargets(PathTargets):
    """Paths of one process with their targets.

    A path's columns are its state, target, mean, lower triangle of the covariance, time and step.

    Arguments:
        process: The process.
    """

    def __init__(self, process: Process) -> None:
        self.process = process
        self.linearization = LocalLinearization(process)
        self.stepper = ColumnStepper(functools.partial(_step, process), 2 * process.noises)

    def simulated(
        self, starts: Starts, steps: int, wanted: list[int], generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return states, targets and times at the wanted steps; see ``PathTargets.simulated``."""
        d, state, lag = self.process.dimension, starts.state, starts.lag
        noise = torch.randn(state.T.shape, generator=generator, dtype=state.dtype, device=state.device)
        step, first = lag / steps, FIRST_STEPS * lag / steps
        transition = self.linearization.transition(state, starts.time, first)
        rows = [transition.state(noise).T, transition.score(noise).T, transition.mean]
        rows += [packed(transition.covariance.permute(1, 2, 0))]
        rows += [(starts.time + first).unsqueeze(0), step.unsqueeze(0)]
        index = ColumnStepper.new_index(generator, state.device)
        frames = self.stepper.frames(rows, [place - FIRST_STEPS for place in wanted], index)
        return frames[:d].flatten(1).T, frames[d : 2 * d].flatten(1).T, frames[-2].flatten()


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
