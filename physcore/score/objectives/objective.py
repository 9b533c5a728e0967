"""The contract of a training objective, and the batch it is given."""

import abc
import dataclasses

import torch
from torch import Tensor

from physcore.score.model import ScoreModel

__all__ = ["Batch", "Objective"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batch:
    """Simulated states to build training targets from.

    Arguments:
        state: States :math:`y_s` of the simulated process, shape ``(batch, component)``.
        start: Their times :math:`s`, shape ``(batch,)``.
        time: Times :math:`t >= s` at which the score is wanted, shape ``(batch,)``.
    """

    state: Tensor
    start: Tensor
    time: Tensor

    def part(self, rank: int, size: int) -> "Batch":
        """Return every size-th sample from a rank's own on."""
        return Batch(state=self.state[rank::size], start=self.start[rank::size], time=self.time[rank::size])


class Objective(abc.ABC):
    """A loss whose minimiser is the score. It never touches files, devices or optimisers.

    Subclasses write ``loss`` and ``lag``.
    """

    @property
    @abc.abstractmethod
    def lag(self) -> float:
        """How far before the wanted time the simulated state should lie, [time]."""

    @abc.abstractmethod
    def loss(self, model: ScoreModel, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the loss of each sample.

        Arguments:
            model: The score that is trained.
            batch: Simulated states and times.
            generator: Source of randomness.

        Returns:
            Shape ``(batch,)``.
        """
