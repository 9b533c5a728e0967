r"""Denoising along simulated paths, whose targets are unbiased at any lag.

A path is simulated from :math:`y_s` by a map of the drift between two halves of the noise (see ``drift_map``). Beside
it run weights that make of its own noise a target :math:`\eta`, with :math:`E[\eta \,|\, X_t]` the score of the law of
the simulated states: there is no bias from the lag, and none from the step beyond that of the simulation itself, which
is of weak order 2. For a linear process both gains give the exact score given the start; for others they differ in
their noise, which tests/benchmarks/path_weights.py measures.

The Riccati gain is frozen to the mean path of the start. It is the better one while all paths from a start see much the
same slopes of the drift, as in a trap that is slightly anharmonic, and one path serves several targets: an underdamped
anharmonic oscillator has 0.09 and 0.07 of the square of the score as noise at lag 3, with the linear-quadratic gain
0.29 and 0.15. Once paths part it is useless: in a double well 40 at lag 0.5 and a million at 1, on the swimmer 10 and
1.8 at lag 2, thousands at 3. The linear-quadratic gain is renewed on the way, so that longer lags are quieter or no
worse: 0.11 to 0.17 in the double well from lag 0.5 to 3, on the swimmer 1.2 and 0.54 at lag 1, as the other has, 0.45
and 0.21 at 2, 0.34 and 0.13 at 3. Three targets at lag 1 cost 11 (double well) to 25 times as much (oscillator).

In many components the Riccati gain needs no matrix for each path where the process has a special form (see
``physcore.score.forms``), and where the linearisation is the same everywhere neither gain needs a path at all. The
linear-quadratic gain carries matrices otherwise, and the Riccati gain for processes of no such form; their cost grows
with the cube of the number of components.

Source: Elworthy and Li, Formulae for the derivatives of heat semigroups (1994); see ``physcore.score.path_weights``.
"""

import dataclasses
import math
from typing import get_args

import torch

from physcore.process import Process
from physcore.score.lags import LagSchedule
from physcore.score.objectives.denoising import Denoising
from physcore.score.objectives.objective import Batch, Sampler, Samples
from physcore.score.path_weights import FIRST_STEPS, Gain, Starts, path_targets

__all__ = ["PathWeightedDenoising"]

EARLIEST_TARGET = 0.5  # of the lag


@dataclasses.dataclass(frozen=True, kw_only=True)
class PathWeightedDenoising(Denoising):
    """Denoising score matching with unbiased targets along simulated paths.

    Arguments:
        lag: Time between the simulated state and the last target, [time], or a schedule of lags.
        steps: Steps of a path.
        targets: Targets of a path, evenly spaced over the second half of the lag.
        gain: What decides the weights, ``"riccati"`` or ``"linear-quadratic"``; the second for lags over which paths
            from one start part, as between wells.
        weighting: The weight of the loss.

    Raises:
        ValueError: If the lag or the numbers are not positive, or the steps too few for the targets.

    Error:
        That of the simulation along the path, of second order in lag / steps: at lag 1 and t = 5 of the swimmer slopes
        E[target score] / E score^2 of 0.997 +- 0.003 and 0.999 +- 0.001, at lag 3 0.990 and 0.994 with 100 steps and
        1.000 and 0.999 with 200.
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
        paths = path_targets(process, self.gain)
        lags = 1 - (1 - EARLIEST_TARGET) * torch.arange(self.targets).flip(0) / self.targets
        wanted = torch.round(self.steps * lags).to(torch.int64).tolist()

        @torch.no_grad()
        def sample(batch: Batch, generator: torch.Generator) -> Samples:
            starts = Starts(batch.state.detach(), batch.start, batch.time - batch.start)
            states, targets, times = paths.simulated(starts, self.steps, wanted, generator)
            importance = None if batch.importance is None else batch.importance.repeat(self.targets)
            return Samples(state=states.unsqueeze(1), time=times, target=targets.unsqueeze(1), importance=importance)

        return sample
