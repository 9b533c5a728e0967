"""The contract of an integration scheme."""

import abc
from typing import ClassVar

from torch import Tensor

from physcore.process import Process

__all__ = ["Scheme"]


class Scheme(abc.ABC):
    """One step of a stochastic integrator; a step is pure.

    A step is written once, in torch, for any leading shape of the states. It is traced into a fused kernel where its
    operations allow, and computed by torch elsewhere.

    Attributes:
        strong_order: Order of the root-mean-square error of a path.
        weak_order: Order of the error of expectations.
        noise_type: The noise it is made for, ``"general"`` if it may depend on the state.
        three_point: Whether three-point random numbers may take the place of normals at the claimed weak order.
    """

    strong_order: ClassVar[float]
    weak_order: ClassVar[float]
    noise_type: ClassVar[str]
    three_point: ClassVar[bool] = False

    def check(self, process: Process, dt: float) -> None:
        """Refuse a process or a step that the scheme is not made for.

        Arguments:
            process: The process.
            dt: Step, [time].

        Raises:
            ValueError: If the scheme cannot integrate the process; the reason is given.
        """
        if process.noise_type != "additive" and self.noise_type == "additive":
            raise ValueError(
                f"{type(self).__name__} is made for additive noise, and that of {type(process).__name__} depends on "
                "the state. Use euler-maruyama."
            )

    def normals(self, process: Process) -> int:
        """Return how many standard normals a path takes in a step: one for each noise, unless a scheme needs more."""
        return process.noises

    @abc.abstractmethod
    def step(self, process: Process, state: Tensor, time: Tensor, dt: float, normals: Tensor) -> Tensor:
        """Return the states one step later.

        Arguments:
            process: The process.
            state: States, shape ``(paths, component)``.
            time: Time of the states, shape ``()``, float64.
            dt: Step.
            normals: Standard normals, shape ``(paths, normal)``.

        Returns:
            Shape of ``state``.
        """
