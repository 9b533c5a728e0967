r"""The log density at one time as a table, and the score from it.

.. math:: \log p(x) = \sum_i c_i \prod_a \beta_3\!\left(\frac{x_a - x_{i,a}}{h_a}\right), \qquad s = \nabla \log p

The table is interpolated by a cubic spline, twice continuously differentiable; value and gradient belong together.
The error of the gradient is of fourth order at the centres and third between them; for a Gaussian it is rounding.
A state is answered only where all centres around it carry a density above ``TRUST`` of the largest.

Source: Unser, Splines: a perfect fit for signal and image processing (1999).
"""

import dataclasses
import functools
import itertools
from typing import Literal

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from analysis.references.grid.cells import Array, Cells

__all__ = ["TRUST", "LogDensityTable"]

TRUST = 1e-12
CHUNK = 16384  # states interpolated at once, so that intermediate arrays stay in the cache
LOWEST = -60.0  # of the log density below its maximum, so that empty cells do not disturb the spline
PAD = 3


@dataclasses.dataclass(frozen=True)
class LogDensityTable:
    """The log density at the centres of a grid.

    Arguments:
        cells: The grid.
        logarithm: Log density, shape of the grid, float32; minus infinity where there is none.
        mass: Probability of the whole solution, before the table was cut to where the density matters.
    """

    cells: Cells
    logarithm: NDArray[np.float32]
    mass: float

    @classmethod
    def of(cls, cells: Cells, mass: Array) -> "LogDensityTable":
        """Build the table from the probability of the cells."""
        with np.errstate(divide="ignore"):
            logarithm = np.log(mass / cells.volume)
        return cls(cells, logarithm.astype(np.float32), float(mass.sum()))

    @property
    def trusted(self) -> NDArray[np.bool]:
        """Where the density is above the trust floor, shape of the grid."""
        return np.asarray(self.logarithm > self.logarithm.max() + np.log(TRUST))

    def clipped(self) -> Array:
        """Return the log density in float64, finite everywhere."""
        return np.maximum(self.logarithm.astype(np.float64), float(self.logarithm.max()) + LOWEST)

    def cropped(self) -> "LogDensityTable":
        """Return the table cut to the trusted cells and a few more."""
        trusted = self.trusted
        parts, lower, upper = [], [], []
        for axis in range(self.cells.dimension):
            inside = np.nonzero(trusted.any(axis=tuple(i for i in range(trusted.ndim) if i != axis)))[0]
            count, width, low = self.cells.counts[axis], self.cells.widths[axis], self.cells.lower[axis]
            first, end = max(0, int(inside[0]) - PAD), min(count, int(inside[-1]) + 1 + PAD)
            if self.cells.periodic[axis]:
                first, end = 0, count
            parts.append(slice(first, end))
            lower.append(low + first * width)
            upper.append(low + end * width)
        counts = tuple(part.stop - part.start for part in parts)
        cells = Cells(lower=tuple(lower), upper=tuple(upper), counts=counts, periodic=self.cells.periodic)
        return LogDensityTable(cells, self.logarithm[tuple(parts)].copy(), self.mass)

    @functools.cached_property
    def coefficients(self) -> NDArray[np.float32]:
        """The spline's coefficients, padded by two at every end."""
        values = self.clipped()
        for axis, periodic in enumerate(self.cells.periodic):
            mode: Literal["grid-wrap", "mirror"] = "grid-wrap" if periodic else "mirror"
            values = scipy.ndimage.spline_filter1d(values, order=3, axis=axis, mode=mode)
        for axis, periodic in enumerate(self.cells.periodic):
            padding = [(2, 2) if i == axis else (0, 0) for i in range(values.ndim)]
            values = np.pad(values, padding, mode="wrap" if periodic else "reflect")
        return values.astype(np.float32)

    def evaluate(self, states: Array) -> tuple[Array, Array]:
        """Return log density and score.

        Arguments:
            states: States, shape ``(state, component)``.

        Returns:
            Log density of shape ``(state,)`` and score of the shape of ``states``, NaN where not trusted.
        """
        logarithm, score = np.full(len(states), np.nan), np.full(states.shape, np.nan)
        trusted = self.trusted
        for start in range(0, len(states), CHUNK):
            part = slice(start, start + CHUNK)
            known, cell, place = self.locate(states[part], trusted)
            rows = np.nonzero(known)[0] + start
            logarithm[rows], score[rows] = self.spline(cell[known], place[known])
        return logarithm, score

    def locate(self, states: Array, trusted: NDArray[np.bool]) -> tuple[NDArray[np.bool], NDArray[np.intp], Array]:
        """Return which states are trusted, the centre below each and the place beyond it in cell widths."""
        counts, periodic = np.array(self.cells.counts), np.array(self.cells.periodic)
        place = (states - np.array(self.cells.lower)) / np.array(self.cells.widths) - 0.5
        inside = ((place >= 0) & (place <= counts - 1)) | (periodic & np.isfinite(place))
        known = np.all(inside, axis=-1)  # NaN is neither
        place = np.where(known[:, None], place, 0.0)
        place = np.where(periodic, np.mod(place, counts), place)
        cell = np.minimum(place.astype(np.intp), counts - np.where(periodic, 1, 2))
        for corner in itertools.product((0, 1), repeat=self.cells.dimension):
            known &= trusted[tuple(((cell + corner) % counts).T)]
        return known, cell, place - cell

    def spline(self, cell: NDArray[np.intp], place: Array) -> tuple[Array, Array]:
        """Return value and gradient of the spline."""
        coefficients = self.coefficients
        lengths = np.array([*coefficients.shape[1:], 1])
        strides = np.cumprod(lengths[::-1])[::-1]
        flat, first = coefficients.ravel(), (cell + 1) @ strides
        basis = [cubic_basis(column) for column in place.T]

        def contracted(axis: int, corner: NDArray[np.intp]) -> list[Array]:
            """Return value and derivatives along the axes from this one on."""
            if axis == self.cells.dimension:
                return [flat.take(corner).astype(np.float64)]
            sums = [np.zeros(len(place)) for _ in range(self.cells.dimension - axis + 1)]
            values, slopes = basis[axis]
            for i in range(4):
                value, *derivatives = contracted(axis + 1, corner + i * strides[axis])
                sums[0] += values[i] * value
                sums[1] += slopes[i] * value
                for position, derivative in enumerate(derivatives):
                    sums[2 + position] += values[i] * derivative
            return sums

        value, *gradient = contracted(0, first)
        return value, np.stack(gradient, -1) / np.array(self.cells.widths)


def cubic_basis(place: Array) -> tuple[list[Array], list[Array]]:
    """Return the four cubic B-splines that do not vanish at a place between two centres, and their slopes."""
    rest = 1 - place
    values = [rest**3 / 6, 2 / 3 - place**2 * (1 - place / 2), 2 / 3 - rest**2 * (1 - rest / 2), place**3 / 6]
    slopes = [-(rest**2) / 2, place * (1.5 * place - 2), rest * (2 - 1.5 * rest), place**2 / 2]
    return values, slopes
