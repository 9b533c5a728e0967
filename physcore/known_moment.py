"""Expectations that are known exactly, by which a simulation is checked."""

import dataclasses
from collections.abc import Callable

from torch import Tensor

__all__ = ["KnownMoment"]


@dataclasses.dataclass(frozen=True)
class KnownMoment:
    r"""An exact expectation :math:`E[a(X_t)]` of a process.

    Arguments:
        name: What is measured, such as ``"mean square displacement"``.
        observable: :math:`a`, from states ``(..., component)`` to ``(...)``.
        expectation: Exact value at times of shape ``(...)`` since the start, in float64; at infinite time the
            stationary value. Where the law is known in the stationary state alone, NaN at finite times.
    """

    name: str
    observable: Callable[[Tensor], Tensor]
    expectation: Callable[[Tensor], Tensor]
