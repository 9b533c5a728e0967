"""The contract of a stepper, which takes a block of paths through time."""

import abc
import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from physcore.stepping.threads import Threads
from physcore.streams import Streams

__all__ = ["Stepper", "Stepping"]


Step = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stepping:
    """What is stepped and how.

    Arguments:
        step: One step: from states ``(path, component)``, their time ``()`` in float64 and normals ``(path, normal)``
            to the states a time ``dt`` later; pure, and the same for every path by itself.
        components: Number of components of a state.
        normals: How many standard normals a path takes in a step.
        dt: Step, [time].
        start: Time of step 0, [time].
        dtype: Precision of the states.
        three_point: Whether three-point noise takes the place of normals.
        streams: Random streams of the noise.
        device: Where the steps are computed.
        threads: What computes them on a CPU where Python is not needed; threads of the stepper's own when None.
    """

    step: Step
    components: int
    normals: int
    dt: float
    start: float
    dtype: torch.dtype
    three_point: bool
    streams: Streams
    device: torch.device
    threads: Threads | None = None

    def time(self, step: int) -> Tensor:
        """Return the time of a step, t0 + k dt, shape ``()``, float64."""
        return torch.tensor(self.start + step * self.dt, dtype=torch.float64)


class Stepper(abc.ABC):
    """Takes blocks of paths through time.

    Attributes:
        stepping: What is stepped and how.
        way: How it is computed, for people.
    """

    stepping: Stepping
    way: str

    @abc.abstractmethod
    def advance(self, start: Tensor, frames: Tensor, saved: NDArray[np.int64], first_path: int, first_step: int) -> int:
        """Advance a block of paths.

        Arguments:
            start: States at ``first_step``, shape ``(component, path)``, contiguous.
            frames: Where to store them, shape ``(component, frame, path)``, contiguous along paths.
            saved: Steps to store, increasing, from ``first_step`` on.
            first_path: Index of the first path in the run.
            first_step: Index of the step that the block starts from.

        Returns:
            How many stored numbers are not finite.
        """

    def begin(
        self, start: Tensor, frames: Tensor, saved: NDArray[np.int64], first_path: int, first_step: int
    ) -> Callable[[], int]:
        """Begin to advance a block of paths, where that can be done beside the caller; else do it at once.

        Arguments:
            start: See ``advance``; none of the arguments may change before the end.
            frames: See ``advance``.
            saved: See ``advance``.
            first_path: See ``advance``.
            first_step: See ``advance``.

        Returns:
            What waits for the end and returns how many stored numbers are not finite.
        """
        failures = self.advance(start, frames, saved, first_path, first_step)
        return lambda: failures
