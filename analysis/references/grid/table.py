r"""The log density at one time as a table, and the score from it.

.. math:: \log p(x) = \sum_i c_i \prod_a \beta_3\!\left(\frac{x_a - x_{i,a}}{h_a}\right), \qquad s = \nabla \log p

The table is interpolated by a cubic spline, twice continuously differentiable; value and gradient belong together.
The error of the gradient is of fourth order at the centres and third between them; for a Gaussian it is rounding.
A state is answered only where all centres around it carry a density above ``TRUST`` of the largest.

Source: Unser, Splines: a perfect fit for signal and image processing (1999).
"""

import dataclasses
import functools

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
            inside = np.nonzero(trusted.any(axis=1 - axis))[0]
            count, width, low = self.cells.counts[axis], self.cells.widths[axis], self.cells.lower[axis]
            first, end = max(0, int(inside[0]) - PAD), min(count, int(inside[-1]) + 1 + PAD)
            parts.append(slice(first, end))
            lower.append(low + first * width)
            upper.append(low + end * width)
        counts = tuple(part.stop - part.start for part in parts)
        cells = Cells(lower=tuple(lower), upper=tuple(upper), counts=counts)
        return LogDensityTable(cells, self.logarithm[tuple(parts)].copy(), self.mass)

    @functools.cached_property
    def coefficients(self) -> Array:
        """The spline's coefficients, padded by two at every end."""
        values = self.clipped()
        for axis in range(self.cells.dimension):
            values = scipy.ndimage.spline_filter1d(values, order=3, axis=axis, mode="mirror")
        padding = [(2, 2) if axis < self.cells.dimension else (0, 0) for axis in range(2)]
        return np.pad(values, padding, mode="reflect")

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
        counts = np.array(self.cells.counts)
        place = (states - np.array(self.cells.lower)) / np.array(self.cells.widths) - 0.5
        known = np.all((place >= 0) & (place <= counts - 1), axis=-1)  # NaN is neither
        place = np.where(known[:, None], place, 0.0)
        cell = np.minimum(place.astype(np.intp), np.maximum(counts - 2, 0))
        columns = [cell[:, 0], cell[:, 1] if self.cells.dimension == 2 else np.zeros(len(cell), dtype=np.intp)]
        beyond = (0, 1) if self.cells.dimension == 2 else (0,)
        for i in (0, 1):
            for j in beyond:
                known &= trusted[columns[0] + i, columns[1] + j]
        return known, cell, place - cell

    def spline(self, cell: NDArray[np.intp], place: Array) -> tuple[Array, Array]:
        """Return value and gradient of the spline."""
        coefficients, widths = self.coefficients.ravel(), self.cells.widths
        length = self.coefficients.shape[1]
        basis, slopes = zip(*(cubic_basis(column) for column in place.T), strict=True)
        value, gradient = np.zeros(len(place)), np.zeros(place.shape)
        corner = (cell[:, 0] + 1) * length + (cell[:, 1] + 1 if self.cells.dimension == 2 else 0)
        for i in range(4):
            if self.cells.dimension == 1:
                line = coefficients.take(corner + i * length)
            else:
                line, across = np.zeros(len(place)), np.zeros(len(place))
                for j in range(4):
                    taken = coefficients.take(corner + (i * length + j))
                    line += basis[1][j] * taken
                    across += slopes[1][j] * taken
                gradient[:, 1] += basis[0][i] * across
            value += basis[0][i] * line
            gradient[:, 0] += slopes[0][i] * line
        return value, gradient / np.array(widths)


def cubic_basis(place: Array) -> tuple[list[Array], list[Array]]:
    """Return the four cubic B-splines that do not vanish at a place between two centres, and their slopes."""
    rest = 1 - place
    values = [rest**3 / 6, 2 / 3 - place**2 * (1 - place / 2), 2 / 3 - rest**2 * (1 - rest / 2), place**3 / 6]
    slopes = [-(rest**2) / 2, place * (1.5 * place - 2), rest * (2 - 1.5 * rest), place**2 / 2]
    return values, slopes
