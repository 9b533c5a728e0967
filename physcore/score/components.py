"""Which components of a score are learned: all of them, or those that noise acts on.

Currents, entropy production and the reversal of a process need :math:`Q s` alone, to which a component without noise
adds nothing.
"""

import dataclasses
import functools
from typing import Literal, get_args

import torch
from torch import Tensor

from physcore.process import Process

__all__ = ["Components", "Selection", "check_selection"]

Selection = Literal["all", "driven"]


def check_selection(components: str) -> None:
    """Refuse what selects no components.

    Arguments:
        components: ``"all"`` or ``"driven"``.

    Raises:
        ValueError: If it is neither.
    """
    if components not in get_args(Selection):
        raise ValueError(f"`components` must be one of {', '.join(get_args(Selection))}; got {components!r}.")


@dataclasses.dataclass(frozen=True)
class Components:
    """The learned components of a state.

    Arguments:
        dimension: Components of the state.
        indices: Those that are learned, rising.
    """

    dimension: int
    indices: tuple[int, ...]

    @classmethod
    def of(cls, process: Process, components: str) -> "Components":
        """Return the selected components of a process.

        Arguments:
            process: The process.
            components: ``"all"`` or ``"driven"``.

        Raises:
            ValueError: If the selection is unknown, or noise drives no component.
        """
        check_selection(components)
        indices = tuple(range(process.dimension)) if components == "all" else process.driven
        if not indices:
            raise ValueError(f"`components` must be 'all': no noise drives {type(process).__name__} at time zero.")
        return cls(process.dimension, indices)

    def __len__(self) -> int:
        """Return the number of learned components."""
        return len(self.indices)

    @property
    def complete(self) -> bool:
        """Whether every component is learned."""
        return len(self) == self.dimension

    @property
    def selection(self) -> Selection:
        """The selection that these components are."""
        return "all" if self.complete else "driven"

    @functools.cached_property
    def order(self) -> list[int]:
        """All components, the learned ones last."""
        return [i for i in range(self.dimension) if i not in self.indices] + list(self.indices)

    def take(self, values: Tensor) -> Tensor:
        """Return the learned of all components, shapes ``(..., component)`` to ``(..., learned component)``."""
        if self.complete:
            return values
        return values[..., self._index]

    @functools.cached_property
    def _index(self) -> slice | list[int]:
        """A slice where it does, which is no copy and sends no indices to the device."""
        first, last = self.indices[0], self.indices[-1]
        step = self.indices[1] - first if len(self) > 1 else 1
        evenly = self.indices == tuple(range(first, last + 1, step))
        return slice(first, last + 1, step) if evenly else list(self.indices)

    def place(self, values: Tensor) -> Tensor:
        """Return all components, zero where they are not learned; the inverse of ``take`` on the learned ones."""
        if self.complete:
            return values
        padded = torch.cat([values, torch.zeros_like(values[..., :1])], -1)
        return padded[..., [self.indices.index(i) if i in self.indices else -1 for i in range(self.dimension)]]

    def ordered(self, values: Tensor) -> Tensor:
        """Return values of shape ``(component, ...)`` with the learned components last."""
        return values if self.complete else values[self.order]

    def restored(self, values: Tensor) -> Tensor:
        """Return what ``ordered`` was given."""
        return values if self.complete else values[[self.order.index(i) for i in range(self.dimension)]]
