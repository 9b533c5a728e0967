"""The contract of an integration scheme."""

import abc
from typing import ClassVar

from torch import Tensor

from physcore.process import Process

__all__ = ["Scheme"]


class Scheme(abc.ABC):
    """One step of a stochastic integrator; a step is pure.

    Attributes:
        strong_order: Order of the root-mean-square error of a path.
        weak_order: Order of the error of expectations.
        noise_type: The noise it is made for.
    """

    strong_order: ClassVar[float]
    weak_order: ClassVar[float]
    noise_type: ClassVar[str]

    @abc.abstractmethod
    def step(self, process: Process, state: Tensor, time: Tensor, dt: float, normals: Tensor) -> Tensor:
        """Return the states one step later.

        Arguments:
            process: The process.
            state: States, shape ``(paths, component)``.
            time: Time of the states, shape ``()``.
            dt: Step.
            normals: Standard normals, shape ``(paths, noise)``.

        Returns:
            Shape of ``state``.
        """
