r"""A rectangular grid of equal cells in one or two dimensions.

.. math:: x_i = a + (i + \tfrac12) h, \qquad h = (b - a) / n

A density is held by the probability :math:`m_i = p(x_i)\,h^d` that its value at the centre gives the cell. Sums
over centres are then midpoint rules, which are spectrally accurate for a smooth density that vanishes at the box.
Arrays are always two-dimensional, shape (cells of axis 0, cells of axis 1); a one-dimensional grid has one cell
of width one along its second axis.
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
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def dimension(self) -> int:
        """Number of dimensions, 1 or 2."""
        return len(self.counts)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of an array on the grid; the second length is 1 in one dimension."""
        return self.counts[0], (self.counts[1] if self.dimension == 2 else 1)

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

    def points(self, face_axis: int | None = None) -> Tensor:
        """Return the points of the grid as states.

        Arguments:
            face_axis: Dimension along which to give faces instead of centres.

        Returns:
            Shape ``(points of axis 0, points of axis 1, component)``, float64; the second length is 1 in one
            dimension.
        """
        axes = [
            torch.from_numpy(self.faces(axis) if axis == face_axis else self.centres(axis))
            for axis in range(self.dimension)
        ]
        mesh = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
        return mesh if self.dimension == 2 else mesh.unsqueeze(1)

    def refined(self, factors: tuple[float, ...]) -> "Cells":
        """Return the same box with the number of cells along each dimension multiplied."""
        counts = tuple(round(count * factor) for count, factor in zip(self.counts, factors, strict=True))
        return Cells(lower=self.lower, upper=self.upper, counts=counts)
