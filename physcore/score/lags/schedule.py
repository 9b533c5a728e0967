"""The contract of a lag schedule, and the pilot states that one may be fitted to."""

import abc
import dataclasses
from typing import ClassVar

from torch import Tensor

from physcore.process import Process
from physcore.score.kernels import Kernel

__all__ = ["LagSchedule", "Pilot"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pilot:
    """Simulated states that a schedule may measure before a fit.

    Arguments:
        process: The process that made them.
        times: Times of the frames, shape ``(frame,)``, float64.
        states: States of some paths, shape ``(frame, path, component)``.
    """

    process: Process
    times: Tensor
    states: Tensor


class LagSchedule(abc.ABC):
    r"""Lags :math:`h(t)`: the target of time :math:`t` starts from the state at :math:`t - h(t)`, or the first frame.

    A schedule depends on time alone. Subclasses write ``lag``; one that measures before it knows writes ``fitted``.
    """

    group: ClassVar[str] = "physcore.lags"
    known: ClassVar[bool] = True  # before the schedule is fitted

    @abc.abstractmethod
    def lag(self, time: Tensor) -> Tensor:
        """Return the lags.

        Arguments:
            time: Times, any shape, float64.

        Returns:
            Lags, shape of ``time``, not negative, [time].
        """

    def check(self, process: Process) -> None:
        """Refuse a process that the schedule does not suit, before anything is simulated.

        Arguments:
            process: The process.

        Raises:
            ValueError: If it does not suit; the reason is given.
        """

    def fitted(self, pilot: Pilot, kernel: Kernel | None) -> "LagSchedule":
        """Return the schedule with all that it measures known; itself when there is nothing to measure.

        Arguments:
            pilot: Simulated states.
            kernel: The objective's transition kernel, None if it has none.

        Raises:
            ValueError: If the schedule does not suit the process or the objective; the reason is given.
        """
        return self

    def bias(self, time: Tensor) -> Tensor | None:
        """Return the relative error of the score that the kernel is expected to make, None where it is not known.

        Arguments:
            time: Times, any shape, float64.
        """
        return None
