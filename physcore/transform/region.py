"""Regions of space: where a map is defined, and where it leads."""

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["REALS", "Region", "finite", "transformed", "unreadable"]

MOST_SHOWN = 8


@dataclasses.dataclass(frozen=True)
class Region:
    """A set of states.

    Arguments:
        description: What its states keep to, for people, such as ``"every component must be positive"``.
        contains: From states, shape ``(..., component)``, to whether they lie in it, shape ``(...)``; not so for NaN.
            Written with comparisons of extremes it can be traced into a fused kernel.
    """

    description: str
    contains: Callable[[Tensor], Tensor]

    def check(self, state: Tensor, place: str) -> None:
        """Refuse states outside; NaN is handed on, for whoever knows where it came from.

        Arguments:
            state: States, shape ``(..., component)``.
            place: What asks for them, such as ``"Tanh.inverse"``.

        Raises:
            ValueError: If a state lies outside; the first one is shown, and how many there are.
        """
        if unreadable() or (self is REALS and finite(state)):
            return
        inside = self.contains(state.detach())
        if bool(inside.all()):
            return
        wrong = ~(inside | state.isnan().any(-1))
        count = int(wrong.sum())
        if not count:
            return
        first = wrong.reshape(-1).nonzero()[0]
        shown = state.detach().reshape(-1, state.shape[-1])[first].flatten()
        values = ", ".join(f"{float(value):.6g}" for value in shown[:MOST_SHOWN])
        raise ValueError(
            f"`state` of {place}: {self.description}; {count} of {wrong.numel()} states do not keep to it, "
            f"the first is [{values}{', ...' if len(shown) > MOST_SHOWN else ''}]."
        )


REALS = Region("every component must be finite", lambda state: state.abs().amax(-1) < math.inf)


def finite(state: Tensor) -> bool:
    """Return whether all numbers are finite.

    Arguments:
        state: Numbers, any shape.
    """
    state = state.detach()
    # A sum takes a hundredth of the time; that of finite numbers may overflow.
    return math.isfinite(float(state.sum())) or bool(state.isfinite().all())


def unreadable() -> bool:
    """Return whether values cannot be looked at: inside a transform of functions, or while operations are traced."""
    return transformed() or torch._C._len_torch_dispatch_stack() > 0


def transformed() -> bool:
    """Return whether a transform of functions, as for derivatives, is at work."""
    return torch._C._functorch.peek_interpreter_stack() is not None
