r"""Denoising along simulated paths, whose targets are unbiased at any lag.

A path is simulated from :math:`y_s` by a map of the drift, :math:`x \mapsto \Phi(x)`, between two halves of the noise,
:math:`x \mapsto x + G \Delta W`. Beside it runs a target :math:`\eta` with :math:`E[\eta \,|\, X, y_s]` the score of
the path's law given its start:

.. math:: \eta \leftarrow D\Phi^{-T} \left(\eta - \nabla \log |\det D\Phi|\right), \qquad
          \eta \leftarrow \eta - M \left(Q\,\Delta u\,\eta + G\,\Delta W\right), \quad Q = G G^T .

The first is the change of a score under a map; what the second adds has mean zero given the new state, by Tweedie's
formula, for any gain :math:`M` that only the start decides. So the targets have no bias from the lag and none from the
step beyond that of the simulation itself, which is of weak order 2. The gain of least noise for a Gaussian law is
:math:`M = \Sigma^{-1}`, with :math:`\Sigma` the covariance given the start, here that of :math:`2 d` points carried by
the same map; for a linear process :math:`\eta` is then the exact score given the start. The path begins with one short
step of the linearised process. Every time along the path has a target.

Source: a Bismut-Elworthy-Li weight in recursive form (Elworthy and Li, Formulae for the derivatives of heat semigroups,
1994); recursion, gain and their exactness in the step are derived.
"""

import dataclasses
import functools
import math

import numpy as np
import torch
from torch import Tensor

from physcore.process import Process
from physcore.score.lags import LagSchedule
from physcore.score.objectives.denoising import Denoising
from physcore.score.objectives.objective import Batch, Sampler, Samples
from physcore.score.transition import LocalLinearization
from physcore.small_matrices import (
    cholesky_unchecked,
    determinant_logarithm,
    solve_factored,
    solve_transposed_general,
)
from physcore.stepping import Stepper, Stepping, stepper_for
from physcore.streams import Streams

__all__ = ["PathWeightedDenoising"]

FIRST_STEPS = 2  # taken in one by the linearised process
EARLIEST_TARGET = 0.5  # of the lag
PATH_INDICES = 2**44


@dataclasses.dataclass(frozen=True, kw_only=True)
class PathWeightedDenoising(Denoising):
    """Denoising score matching with unbiased targets along simulated paths.

    Arguments:
        lag: Time between the simulated state and the last target, [time], or a schedule of lags.
        steps: Steps of a path.
        targets: Targets of a path, evenly spaced over the second half of the lag.
        weighting: The weight of the loss.

    Raises:
        ValueError: If the lag or the numbers are not positive, or the steps too few for the targets.

    Error:
        That of the simulation along the path, of second order in lag / steps.
    """

    lag: float | LagSchedule = 1.0
    steps: int = 100
    targets: int = 3

    def __post_init__(self) -> None:
        if not isinstance(self.lag, LagSchedule) and not (self.lag > 0 and math.isfinite(self.lag)):
            raise ValueError(f"`lag` must be positive and finite; got {self.lag}.")
        if self.targets < 1:
            raise ValueError(f"`targets` must be at least 1; got {self.targets}.")
        if self.steps < 2 * self.targets + 2 * FIRST_STEPS:
            least = 2 * self.targets + 2 * FIRST_STEPS
            raise ValueError(f"`steps` must be at least {least} for {self.targets} `targets`; got {self.steps}.")

    @property
    def samples_per_state(self) -> int:
        """How many samples are made from one simulated state."""
        return self.targets

    @property
    def spread(self) -> float:
        """How far before the wanted time the samples of one state reach, as a part of the lag."""
        return (1 - EARLIEST_TARGET) * (self.targets - 1) / self.targets

    def sampler(self, process: Process) -> Sampler:
        """Return what simulates paths and their targets; see ``Objective.sampler``."""
        paths = _WeightedPaths(process)
        lags = 1 - (1 - EARLIEST_TARGET) * torch.arange(self.targets).flip(0) / self.targets
        saved = torch.round(self.steps * lags).to(torch.int64).numpy() - FIRST_STEPS

        @torch.no_grad()
        def sample(batch: Batch, generator: torch.Generator) -> Samples:
            states, targets, times = paths.simulated(batch, self.steps, saved, generator)
            importance = None if batch.importance is None else batch.importance.repeat(self.targets)
            return Samples(state=states.unsqueeze(1), time=times, target=targets.unsqueeze(1), importance=importance)

        return sample


class _WeightedPaths:
    """Paths of one process with their targets, by a stepper for each precision and device.

    A path's state for the stepper holds its state, target, mean, lower triangle of the covariance, time and step.
    """

    def __init__(self, process: Process) -> None:
        self.process = process
        self.linearization = LocalLinearization(process)
        self._steppers: dict[tuple[torch.dtype, torch.device], Stepper] = {}

    def simulated(
        self, batch: Batch, steps: int, saved: np.ndarray, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return states, targets and times at the saved steps, one path after the other within each step."""
        d, state = self.process.dimension, batch.state.detach()
        lag = batch.time - batch.start
        noise = torch.randn(state.T.shape, generator=generator, dtype=state.dtype, device=state.device)
        step, first = lag / steps, FIRST_STEPS * lag / steps
        transition = self.linearization.transition(state, batch.start, first)
        rows = [transition.state(noise).T, transition.score(noise).T, transition.mean]
        covariance = transition.covariance.permute(1, 2, 0)
        rows += [covariance[i, : i + 1] for i in range(d)]
        rows += [(batch.start + first).unsqueeze(0), step.unsqueeze(0)]
        start = torch.cat([row.expand(row.shape[0], len(state)) for row in rows]).contiguous()
        frames = start.new_empty(len(start), len(saved), start.shape[1])
        # Streams are the same for all batches; a batch takes paths of its own from an endless supply.
        index = int(torch.randint(PATH_INDICES, (), generator=generator, device=state.device))
        if len(state):
            self._stepper(start).advance(start, frames, saved, index, 0)
        return frames[:d].flatten(1).T, frames[d : 2 * d].flatten(1).T, frames[-2].flatten()

    def _stepper(self, start: Tensor) -> Stepper:
        key = (start.dtype, start.device)
        if key not in self._steppers:
            stepping = Stepping(
                step=functools.partial(_step, self.process),
                components=len(start),
                normals=2 * self.process.noises,
                dt=0.0,
                start=0.0,
                dtype=start.dtype,
                three_point=False,
                streams=Streams(0, "path weights"),
                device=start.device,
            )
            self._steppers[key] = stepper_for(stepping, start)
        return self._steppers[key]


def _step(process: Process, columns: Tensor, _: Tensor, normals: Tensor) -> Tensor:
    """Return the columns ``(path, entry)`` of paths one step later."""
    d, n = process.dimension, process.noises
    state, target, mean = columns[:, :d], columns[:, d : 2 * d], columns[:, 2 * d : 3 * d]
    places = [3 * d + max(i, j) * (max(i, j) + 1) // 2 + min(i, j) for i in range(d) for j in range(d)]
    covariance = columns.T[places].reshape(d, d, -1)
    time, step = columns[:, -2], columns[:, -1]
    half = 0.5 * step
    noise = process.noise_for(state, time).expand(len(state), d, n)
    diffusion = (noise @ noise.mT).permute(1, 2, 0)

    def shaken(state: Tensor, target: Tensor, covariance: Tensor, normals: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        kick = (noise * (normals * half.sqrt().unsqueeze(-1)).unsqueeze(-2)).sum(-1)
        covariance = covariance + diffusion * half
        pull = (diffusion * target.T).sum(1) * half + kick.T
        return state + kick, target - solve_factored(cholesky_unchecked(covariance), pull).T, covariance

    state, target, covariance = shaken(state, target, covariance, normals[:, :n])
    state, target = _carried(process, state, target, time, step)
    mean, covariance = _moments_carried(process, mean, covariance, time, step)
    state, target, covariance = shaken(state, target, covariance, normals[:, n:])
    triangle = [covariance[i, : i + 1].T for i in range(d)]
    return torch.cat([state, target, mean, *triangle, (time + step).unsqueeze(-1), step.unsqueeze(-1)], -1)


def _mapped(process: Process, state: Tensor, time: Tensor, step: Tensor) -> Tensor:
    """Return where the drift alone takes states ``(..., component)`` in a step, to second order (Heun)."""
    wide = step.unsqueeze(-1)
    drift = process.drift(state, time)
    return state + 0.5 * wide * (drift + process.drift(state + wide * drift, time + step))


def _carried(process: Process, state: Tensor, target: Tensor, time: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Return states after the map of the drift, and targets changed as a score changes under it."""
    with torch.enable_grad():
        point = state.detach().requires_grad_()
        moved = _mapped(process, point, time, step)
        rows = [
            torch.autograd.grad(entry.sum(), point, create_graph=True, materialize_grads=True)[0]
            for entry in moved.unbind(-1)
        ]
        jacobian = torch.stack(rows).transpose(1, 2)  # (row, column, path)
        volume = determinant_logarithm(jacobian)
        growth = (
            torch.autograd.grad(volume.sum(), point, materialize_grads=True)[0]
            if volume.requires_grad
            else torch.zeros_like(state)
        )
    return moved.detach(), solve_transposed_general(jacobian.detach(), (target - growth).T).T


def _moments_carried(
    process: Process, mean: Tensor, covariance: Tensor, time: Tensor, step: Tensor
) -> tuple[Tensor, Tensor]:
    """Return mean and covariance after the map of the drift, of the points m +- sqrt(d) L e_k."""
    d = process.dimension
    spread = (math.sqrt(d) * cholesky_unchecked(covariance)).permute(2, 1, 0)
    points = torch.cat([mean.unsqueeze(1) + spread, mean.unsqueeze(1) - spread], 1)
    moved = _mapped(process, points, time.unsqueeze(-1), step.unsqueeze(-1))
    mean = moved.mean(1)
    apart = (moved - mean.unsqueeze(1)).permute(2, 1, 0)
    return mean, (apart.unsqueeze(1) * apart.unsqueeze(0)).mean(2)
