"""The contract of a training objective: simulated states come in, samples to learn from are made, a loss comes out."""

import abc
import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from physcore.process import Process
from physcore.score.kernels import Kernel
from physcore.score.lags import FixedLag, LagSchedule, Pilot
from physcore.score.model import Prepared, Rows, ScoreModel
from physcore.score.weightings import OwnFrame, Weighting

__all__ = ["Batch", "Objective", "Sampler", "Samples", "checked_lag", "schedule_of"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batch:
    """Simulated states to build training samples from.

    Arguments:
        state: States :math:`y_s` of the simulated process, shape ``(batch, component)``.
        start: Their times :math:`s`, shape ``(batch,)``.
        time: Times :math:`t >= s` at which the score is wanted, shape ``(batch,)``.
        importance: Factors that undo an uneven choice of times, shape ``(batch,)``; all one when None.
    """

    state: Tensor
    start: Tensor
    time: Tensor
    importance: Tensor | None = None

    def rows(self, rows: Rows) -> "Batch":
        """Return some of the states, a slice or indices."""
        importance = None if self.importance is None else self.importance[rows]
        return Batch(state=self.state[rows], start=self.start[rows], time=self.time[rows], importance=importance)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Samples:
    r"""Points to learn the score at, some with a target.

    A sample may have several points at one time, as the two of an antithetic pair.

    Arguments:
        state: Points :math:`y`, shape ``(sample, point, component)``.
        time: Their times, shape ``(sample,)``.
        target: Unbiased values of the score at each point, shape of ``state``; None where an objective needs none.
        norms: Weight of :math:`|s_\theta|^2` at each point of a sample; targets come in with weight one.
        importance: Factor of each sample's loss, shape ``(sample,)``; all one when None.
        prepared: What the model made of all points, ``sample * point`` of them in that order, if it was asked to.
        weighed: Targets as the loss weighs them, shape ``(sample, point, entry)``, if an objective has made them.
    """

    state: Tensor
    time: Tensor
    target: Tensor | None = None
    norms: tuple[float, ...] = (1.0,)
    importance: Tensor | None = None
    prepared: Prepared | None = None
    weighed: Tensor | None = None

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.time)

    @property
    def points(self) -> Tensor:
        """All points, shape ``(sample * point, component)``."""
        return self.state.flatten(0, 1)

    @property
    def times(self) -> Tensor:
        """The time of every point, shape ``(sample * point,)``."""
        return self.time.unsqueeze(1).expand(self.state.shape[:2]).flatten()

    def rows(self, rows: Rows) -> "Samples":
        """Return some of the samples, a slice or indices."""
        prepared, points = self.prepared, self.state.shape[1]
        if prepared is not None:
            if isinstance(rows, slice):
                start, stop, _ = rows.indices(len(self))
                prepared = prepared.rows(slice(start * points, stop * points))
            else:
                places = rows.unsqueeze(-1) * points + torch.arange(points, device=rows.device)
                prepared = prepared.rows(places.flatten())
        return dataclasses.replace(
            self,
            state=self.state[rows],
            time=self.time[rows],
            target=None if self.target is None else self.target[rows],
            importance=None if self.importance is None else self.importance[rows],
            prepared=prepared,
            weighed=None if self.weighed is None else self.weighed[rows],
        )


Sampler = Callable[[Batch, torch.Generator], Samples]


class Objective(abc.ABC):
    """A loss whose minimiser is the score. It never touches files, devices or optimisers.

    Subclasses write ``sampler`` and ``loss``, and have a field ``lag`` where their samples start before their time,
    and a ``kernel`` where they start from a Gaussian one.
    """

    group: ClassVar[str] = "physcore.objectives"
    lag: float | LagSchedule = 0.0
    kernel: Kernel | None = None
    weighting: Weighting = OwnFrame()
    twice_differentiated: ClassVar[bool] = False  # whether its gradient needs second derivatives of the network

    @property
    def schedule(self) -> LagSchedule:
        """How far before the wanted time the simulated state should lie."""
        return schedule_of(self.lag)

    @property
    def samples_per_state(self) -> int:
        """How many samples are made from one simulated state."""
        return 1

    @property
    def states_per_time(self) -> int:
        """How many simulated states of one time are drawn side by side, of different paths."""
        return 1

    @property
    def spread(self) -> float:
        """How far before the wanted time the samples of one state reach, as a part of the lag."""
        return 0.0

    def fitted(self, pilot: Pilot) -> "Objective":
        """Return the objective with all that it measures beforehand known, lags and weighting.

        Arguments:
            pilot: Simulated states.
        """
        schedule = self.schedule.fitted(pilot, self.kernel)
        lag = self.lag if schedule == self.schedule else schedule
        weighting = self.weighting.fitted(pilot, schedule_of(lag))
        changed = {"lag": lag, "weighting": weighting}
        changed = {name: value for name, value in changed.items() if value is not getattr(self, name)}
        return dataclasses.replace(self, **changed) if changed else self  # type: ignore[type-var]

    @abc.abstractmethod
    def sampler(self, process: Process) -> Sampler:
        """Return what makes samples from simulated states, itself without parameters to learn.

        Arguments:
            process: The process.

        Returns:
            A function of a batch and a source of randomness to ``samples_per_state`` samples for each of its states.

        Raises:
            ValueError: If the objective does not suit the process; the reason is given.
        """

    def prepared(self, model: ScoreModel, samples: Samples) -> Samples:
        """Return samples with all done that does not depend on the parameters; as they are unless a subclass knows.

        Arguments:
            model: The score that is trained.
            samples: Samples of this objective.
        """
        return samples

    @abc.abstractmethod
    def loss(self, model: ScoreModel, samples: Samples, generator: torch.Generator) -> Tensor:
        """Return the loss of each sample.

        Arguments:
            model: The score that is trained.
            samples: Samples of this objective, prepared or not.
            generator: Source of randomness.

        Returns:
            Shape ``(sample,)``, without the factors ``importance``.
        """


def schedule_of(lag: float | LagSchedule) -> LagSchedule:
    """Return a lag as a schedule: a number is the same lag at all times."""
    return lag if isinstance(lag, LagSchedule) else FixedLag(gap=lag)


def checked_lag(lag: float | LagSchedule) -> float | LagSchedule:
    """Return a lag that a transition can run over.

    Raises:
        ValueError: If it is a number that is not positive and finite.
    """
    if not isinstance(lag, LagSchedule) and not (lag > 0 and math.isfinite(lag)):
        raise ValueError(f"`lag` must be positive and finite; got {lag}.")
    return lag
