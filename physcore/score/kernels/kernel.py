"""The contract of a Gaussian transition kernel."""

import abc
from collections.abc import Callable
from typing import ClassVar

from torch import Tensor

from physcore.process import Process
from physcore.score.transitions import LocalTransition

__all__ = ["Kernel", "Transitions"]


Transitions = Callable[[Tensor, Tensor, Tensor], LocalTransition]


class Kernel(abc.ABC):
    """A way to the Gaussian law of the state a lag after a known one.

    Attributes:
        group: Entry point group under which kernels are registered.
        extrapolates: Whether slopes of the drift at the start are carried on over the lag, so that what grows there
            grows for all of it; lags are limited where it does.
    """

    group: ClassVar[str] = "physcore.kernels"
    extrapolates: ClassVar[bool] = True

    @abc.abstractmethod
    def of(self, process: Process) -> Transitions:
        """Return the kernel of a process.

        Arguments:
            process: The process.

        Returns:
            A function from start states ``(batch, d)``, start times ``(batch,)`` and lags ``(batch,)`` to transitions.

        Raises:
            ValueError: If the process has no such kernel; the reason is given.
        """
