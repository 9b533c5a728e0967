r"""Targets along simulated paths by the gain that is best for a Gaussian law given the start.

Beside a path from :math:`y_s` runs a target :math:`\eta` with :math:`E[\eta \,|\, X, y_s]` the score of the path's law
given its start:

.. math:: \eta \leftarrow D\Phi^{-T} \left(\eta - \nabla \log |\det D\Phi|\right), \qquad
          \eta \leftarrow \eta - M \left(Q\,\Delta u\,\eta + G\,\Delta W\right), \quad Q = G G^T .

The first is the change of a score under a map; what the second adds has mean zero given the new state, by Tweedie's
formula, for any gain :math:`M` that only the start decides. The gain of least noise for a Gaussian law is
:math:`M = \Sigma^{-1}`, which solves a Riccati equation, with :math:`\Sigma` the covariance given the start. The path
begins with one short step of the linearised process. Every time along the path has a target.

Source: a Bismut-Elworthy-Li weight in recursive form (Elworthy and Li, Formulae for the derivatives of heat semigroups,
1994); recursion, gain and their exactness in the step are derived.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from physcore.process import Process
from physcore.score.linearization import LocalLinearization
from physcore.score.path_weights.column_stepper import ColumnStepper
from physcore.score.path_weights.path_targets import PathTargets, Starts

__all__ = ["FIRST_STEPS", "Riccati", "RiccatiTargets"]

FIRST_STEPS = 2  # taken in one by the linearised process


@dataclasses.dataclass(frozen=True)
class Riccati:
    """How covariances are held along paths, and slopes of the drift with them.

    A path's columns are its state, target, mean, what is held of the covariance, time and step.

    Arguments:
        width: From the transitions of the first step to what is held, shape ``(entry, path)``.
        step: From the process, columns ``(path, entry)``, time and normals ``(path, normal)`` to the columns a step
            later.
    """

    width: Callable[[Any], Tensor]
    step: Callable[[Process, Tensor, Tensor, Tensor], Tensor]


class RiccatiTargets(PathTargets):
    """Paths of one process with their targets.

    Arguments:
        process: The process.
        riccati: How its covariances are held.
    """

    def __init__(self, process: Process, riccati: Riccati) -> None:
        self.process, self.riccati = process, riccati
        self.linearization = LocalLinearization(process)
        self.stepper = ColumnStepper(functools.partial(riccati.step, process), 2 * process.noises)

    def simulated(
        self, starts: Starts, steps: int, wanted: list[int], generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return states, targets and times at the wanted steps; see ``PathTargets.simulated``."""
        d, state, lag = self.process.dimension, starts.state, starts.lag
        noise = torch.randn(state.T.shape, generator=generator, dtype=state.dtype, device=state.device)
        step, first = lag / steps, FIRST_STEPS * lag / steps
        transition = self.linearization.transition(state, starts.time, first)
        rows = [transition.state(noise).T, transition.score(noise).T, transition.mean]
        rows += [self.riccati.width(transition), (starts.time + first).unsqueeze(0), step.unsqueeze(0)]
        index = ColumnStepper.new_index(generator, state.device)
        frames = self.stepper.frames(rows, [place - FIRST_STEPS for place in wanted], index)
        return frames[:d].flatten(1).T, frames[d : 2 * d].flatten(1).T, frames[-2].flatten()
