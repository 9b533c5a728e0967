r"""Conservative, positive transport of a density along one axis of a grid.

A deterministic flow moves the probability left of a point with the point. The new probability of a cell is what
lies between the feet of the characteristics that end at its faces,

.. math:: m_i' = C(y_{i+1}) - C(y_i), \qquad C(y) = \int_{-\infty}^{y} p,

with :math:`C` a piecewise cubic that takes the exact cumulative values at the faces and, as slopes, fourth-order
face densities limited to :math:`[0, 3 \min(p_{i}, p_{i+1})]`. The limit makes :math:`C` monotone, so the new
density is not negative; differences of one :math:`C` conserve probability, whatever the slopes are. The step may
be many cells long.

The integral needs cell averages; values at centres become averages by :math:`1 + \delta^2 / 24` and averages
values by its inverse to fourth order, both as fluxes between cells, the second limited to keep the sign.

Source: Zerroukat, Wood and Staniforth, A monotonic and positive-definite filter for a semi-Lagrangian inherently
conserving and efficient (SLICE) scheme (2005); Fritsch and Carlson, Monotone piecewise cubic interpolation (1980).
The value-average conversion as limited fluxes is derived here.
"""

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from analysis.references.grid.cells import Array

Integers = NDArray[np.int32]

__all__ = ["Remap", "along", "averages", "centre_values", "face_densities"]


def along(axis: int, start: int | None, stop: int | None) -> tuple[slice, slice]:
    """Return the index of a slice along one of two axes."""
    part = slice(start, stop)
    return (part, slice(None)) if axis == 0 else (slice(None), part)


def averages(values: Array, axis: int) -> Array:
    """Return cell averages along an axis from values at centres, fourth order, sum and sign kept."""
    result = values.copy()
    flux = np.diff(values, axis=axis)
    flux /= 24
    result[along(axis, None, -1)] += flux
    result[along(axis, 1, None)] -= flux
    return result


def centre_values(means: Array, axis: int) -> Array:
    """Return values at centres along an axis from cell averages, fourth order, sum and sign kept."""
    result = means.copy()
    flux = np.diff(means, axis=axis)
    flux /= 24
    bound = np.minimum(means[along(axis, None, -1)], means[along(axis, 1, None)])
    bound *= 0.25
    np.minimum(flux, bound, out=flux)
    np.negative(bound, out=bound)
    np.maximum(flux, bound, out=flux)
    result[along(axis, None, -1)] -= flux
    result[along(axis, 1, None)] += flux
    return result


def face_densities(means: Array, axis: int) -> Array:
    """Return limited densities at the faces along an axis, one more than the cells; fourth order inside."""
    count = means.shape[axis]
    faces = np.empty((count + 1, means.shape[1]) if axis == 0 else (means.shape[0], count + 1))
    faces[along(axis, None, 1)] = means[along(axis, None, 1)]
    faces[along(axis, -1, None)] = means[along(axis, -1, None)]
    left, right = means[along(axis, None, -1)], means[along(axis, 1, None)]
    inner = faces[along(axis, 1, -1)]
    np.add(left, right, out=inner)
    inner *= 0.5
    if count >= 4:
        deep = faces[along(axis, 2, -2)]
        deep *= 7 / 6
        outer = means[along(axis, None, -3)] + means[along(axis, 3, None)]
        outer /= 12
        deep -= outer
    bound = np.minimum(left, right)
    bound *= 3
    np.minimum(inner, bound, out=inner)
    np.maximum(inner, 0, out=inner)
    return faces


class Remap:
    r"""Move probability along one axis, given where the faces' characteristics start.

    The integral over every new cell is linear in cell averages and face densities; its weights are a sparse
    matrix built once. Closed boundaries: nothing crosses the ends of the axis.

    Arguments:
        feet: Position before the move of what ends at each face, in cells from the lower end, shape of the grid
            with the faces of the new cells along ``axis``.
        axis: Axis of the move.
        count: Number of old cells along the axis.
    """

    def __init__(self, feet: Array, axis: int, count: int) -> None:
        positions = feet.copy()
        positions[along(axis, None, 1)] = 0
        positions[along(axis, -1, None)] = count
        np.maximum.accumulate(positions, axis=axis, out=positions)
        np.clip(positions, 0, count, out=positions)
        self.axis = axis
        self.shape = (feet.shape[0] - 1, feet.shape[1]) if axis == 0 else (feet.shape[0], feet.shape[1] - 1)
        self.weights = cell_integrals(positions, axis, count)

    def __call__(self, mass: Array) -> Array:
        """Return the moved probability of the cells."""
        means = averages(mass, self.axis)
        faces = face_densities(means, self.axis)
        moved: Array = self.weights @ np.concatenate([means.ravel(), faces.ravel()])
        np.maximum(moved, 0, out=moved)  # rounding only: the weights leave nothing negative in exact arithmetic
        return centre_values(moved.reshape(self.shape), self.axis)


def cell_integrals(positions: Array, axis: int, count: int) -> scipy.sparse.csr_matrix:
    """Return the weights of cell averages and face densities in the integrals between neighbouring feet."""
    lines = positions.shape[1 - axis]
    line = np.arange(lines, dtype=np.int32)[:, None] if axis == 1 else np.arange(lines, dtype=np.int32)
    cell_step, cell_line, face_line = (lines, 1, 1) if axis == 0 else (1, count, count + 1)
    cells, faces = count * lines, (count + 1) * lines
    index = np.minimum(positions.astype(np.int32), count - 1)
    part = positions - index
    cell = index * cell_step + line * cell_line
    face = cells + index * cell_step + line * face_line
    square = part * part
    parts = np.stack([square * (3 - 2 * part), part * (1 - part) ** 2, square * (part - 1)], -1)
    columns = np.stack([cell, face, face + cell_step], -1)
    starts = np.arange(0, 3 * positions.size + 1, 3, dtype=np.int32)
    left_of_foot = scipy.sparse.csr_matrix(
        (parts.ravel(), columns.ravel(), starts), shape=(positions.size, cells + faces)
    )
    row = np.arange(positions.size, dtype=np.int32).reshape(positions.shape)
    first, last = row[along(axis, None, -1)].ravel(), row[along(axis, 1, None)].ravel()
    weights: scipy.sparse.csr_matrix = (
        left_of_foot[last] - left_of_foot[first] + whole_cells(index, cell, axis, cell_step, cells + faces)
    )
    return weights


def whole_cells(index: Integers, cell: Integers, axis: int, cell_step: int, columns: int) -> scipy.sparse.csr_matrix:
    """Return the matrix that adds the whole cells between the cells of neighbouring feet, the lower included."""
    counts = np.diff(index, axis=axis).ravel()
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    row = np.repeat(np.arange(counts.size, dtype=np.int32), counts)
    beyond = np.arange(starts[-1], dtype=np.int32) - starts[row]
    column = cell[along(axis, None, -1)].ravel()[row] + beyond * np.int32(cell_step)
    return scipy.sparse.csr_matrix((np.ones(column.size), column, starts), shape=(counts.size, columns))
