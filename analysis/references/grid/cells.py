r"""A rectangular grid of equal cells in one, two or three dimensions, some of which may close on themselves.

.. math:: x_i = a + (i + \tfrac12) h, \qquad h = (b - a) / n

A density is held by the probability :math:`m_i = p(x_i)\,h^d` that its value at the centre gives the cell. Sums
over centres are then midpoint rules, which are spectrally accurate for a smooth density that vanishes at the box or
goes around it. Arrays have one axis a dimension.
"""

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Array", "Cells"]

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cells:
    """A box cut into equal cells.

    Arguments:
        lower: Lower corner of the box, one number a dimension.
        upper: Upper corner of the box.
        counts: Number of cells along each dimension.
        periodic: Whether each dimension closes on itself; none does when empty.
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]
    counts: tuple[int, ...]
    periodic: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "periodic", self.periodic or (False,) * len(self.counts))

    @property
    def dimension(self) -> int:
        """Number of dimensions."""
        return len(self.counts)

    @property
    def widths(self) -> tuple[float, ...]:
        """Width of a cell along each dimension."""
        return tuple((high - low) / count for low, high, count in zip(self.lower, self.upper, self.counts, strict=True))

    @property
    def volume(self) -> float:
        """Volume of one cell."""
        return float(np.prod(self.widths))

    def centres(self, axis: int) -> Array:
        """Return the cell centres along one dimension, shape ``(cells,)``."""
        centres: Array = self.lower[axis] + (np.arange(self.counts[axis], dtype=np.float64) + 0.5) * self.widths[axis]
        return centres

    def faces(self, axis: int) -> Array:
        """Return the cell faces along one dimension, shape ``(cells + 1,)``."""
        return np.linspace(self.lower[axis], self.upper[axis], self.counts[axis] + 1)

    def points(self, face_axis: int | None = None, single: tuple[int, ...] = ()) -> Tensor:
        """Return the points of the grid as states.

        Arguments:
            face_axis: Dimension along which to give faces instead of centres.
            single: Dimensions along which to give one point alone, a centre.

        Returns:
            Shape ``(*points of each dimension, component)``, float64.
        """
        axes = []
        for axis in range(self.dimension):
            places = self.faces(axis) if axis == face_axis else self.centres(axis)
            axes.append(torch.from_numpy(places[len(places) // 2 :][:1] if axis in single else places))
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
