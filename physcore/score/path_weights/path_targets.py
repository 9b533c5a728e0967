"""The contract of targets along simulated paths."""

import abc
import dataclasses

import torch
from torch import Tensor

__all__ = ["PathTargets", "Starts"]


@dataclasses.dataclass(frozen=True)
class Starts:
    """Where paths start, and how far they go.

    Arguments:
        state: States, shape ``(path, component)``.
        time: Their times, shape ``(path,)``.
        lag: Times to the ends of the paths, shape ``(path,)``.
    """

    state: Tensor
    time: Tensor
    lag: Tensor


class PathTargets(abc.ABC):
    """Paths of one process with their targets."""

    @abc.abstractmethod
    def simulated(
        self, starts: Starts, steps: int, wanted: list[int], generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return states, targets and times at the wanted steps, one path after the other within each step.

        Arguments:
            starts: The starts.
            steps: Steps of a path.
            wanted: The steps that are wanted, increasing.
            generator: Source of randomness.
        """
