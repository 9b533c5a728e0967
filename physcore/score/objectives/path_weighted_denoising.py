r"""Denoising along simulated paths, whose targets are unbiased at any lag.

A path is simulated from :math:`y_s` by a map of the drift between two halves of the noise (see ``drift_map``). Beside
it run weights that make of its own noise a target :math:`\eta`, with :math:`E[\eta \,|\, X_t]` the score of the law of
the simulated states: there is no bias from the lag, and none from the step beyond that of the simulation itself, which
is of weak order 2. For a linear process both gains give the exact score given the start; for others they differ in
their noise.

Source: Elworthy and Li, Formulae for the derivatives of heat semigroups (1994); see ``riccati_targets`` and
``linear_quadratic_targets``.
"""

import dataclasses
import math
from typing import Literal, get_args

import torch

from physcore.process import Process
from physcore.score.lags import LagSchedule
from physcore.score.objectives.denoising import Denoising
from physcore.score.objectives.linear_quadratic_targets import LinearQuadraticTargets
from physcore.score.objectives.objective import Batch, Sampler, Samples
from physcore.score.objectives.riccati_targets import FIRST_STEPS, RiccatiTargets

__all__ = ["Gain", "PathWeightedDenoising"]

EARLIEST_TARGET = 0.5  # of the lag

Gain = Literal["riccati", "linear-quadratic"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PathWeightedDenoising(Denoising):
    """Denoising score matching with unbiased targets along simulated paths.

    Arguments:
        lag: Time between the simulated state and the last target, [time], or a schedule of lags.
        steps: Steps of a path.
        targets: Targets of a path, evenly spaced over the second half of the lag.
        gain: What decides the weights, ``"riccati"`` or ``"linear-quadratic"``.
        weighting: The weight of the loss.

    Raises:
        ValueError: If the lag or the numbers are not positive, or the steps too few for the targets.

    Error:
        That of the simulation along the path, of second order in lag / steps.
    """

    lag: float | LagSchedule = 1.0
    steps: int = 100
    targets: int = 3
    gain: Gain = "riccati"

    def __post_init__(self) -> None:
        if not isinstance(self.lag, LagSchedule) and not (self.lag > 0 and math.isfinite(self.lag)):
            raise ValueError(f"`lag` must be positive and finite; got {self.lag}.")
        if self.gain not in get_args(Gain):
            raise ValueError(f"`gain` must be one of {', '.join(get_args(Gain))}; got {self.gain!r}.")
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
        paths = (RiccatiTargets if self.gain == "riccati" else LinearQuadraticTargets)(process)
        lags = 1 - (1 - EARLIEST_TARGET) * torch.arange(self.targets).flip(0) / self.targets
        wanted = torch.round(self.steps * lags).to(torch.int64).tolist()

        @torch.no_grad()
        def sample(batch: Batch, generator: torch.Generator) -> Samples:
            states, targets, times = paths.simulated(batch, self.steps, wanted, generator)
            importance = None if batch.importance is None else batch.importance.repeat(self.targets)
            return Samples(state=states.unsqueeze(1), time=times, target=targets.unsqueeze(1), importance=importance)

        return sample
