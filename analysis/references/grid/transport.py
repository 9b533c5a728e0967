r"""Conservative, positive transport of a density along one axis of a grid.

A deterministic flow moves the probability left of a point with the point. The new probability of a cell is what
lies between the feet of the characteristics that end at its faces,

.. math:: m_i' = C(y_{i+1}) - C(y_i), \qquad C(y) = \int_{-\infty}^{y} p,

with :math:`C` a piecewise cubic that takes the exact cumulative values at the faces and, as slopes, fourth-order
face densities limited to :math:`[0, 3 \min(p_{i}, p_{i+1})]`. The limit makes :math:`C` monotone, so the new
density is not negative; differences of one :math:`C` conserve probability, whatever the slopes are. The step may
be many cells long.

Lines are moved in blocks that fit the processor's cache. Along axes on which the feet do not depend the weights of
one line serve all.

Source: Zerroukat, Wood and Staniforth, A monotonic and positive-definite filter for a semi-Lagrangian inherently
conserving and efficient (SLICE) scheme (2005); Fritsch and Carlson, Monotone piecewise cubic interpolation (1980).
"""

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from analysis.references.grid.cells import Array
from analysis.references.grid.reconstruction import averages, blocks, centre_values, face_densities

Integers = NDArray[np.int32]
Matrix = scipy.sparse.csr_matrix

__all__ = ["Remap"]


class Remap:
    r"""Move probability along one axis, given where the faces' characteristics start.

    The integral over every new cell is linear in cell averages and face densities; its weights are a sparse
    matrix built once. Nothing crosses the ends of the axis unless it closes on itself.

    Arguments:
        feet: Position before the move of what ends at each face, in cells from the lower end, shape of the grid
            with the faces of the new cells along ``axis`` and length 1 along axes on which it does not depend.
        axis: Axis of the move.
        shape: Old cells along each axis.
        periodic: Whether the axis closes on itself.
    """

    def __init__(self, feet: Array, axis: int, shape: tuple[int, ...], periodic: bool = False) -> None:
        self.axis, self.periodic, self.count = axis, periodic, shape[axis]
        others = [i for i in range(len(shape)) if i != axis]
        varying = [i for i in others if feet.shape[i] > 1]
        # Axes on which the feet depend come before those on which they do not, which are columns of one product.
        self.order = (axis, *varying, *(i for i in others if i not in varying))
        self.lines = tuple(shape[i] for i in self.order[1:])
        positions = ordered_positions(feet.transpose(self.order), self.count, periodic)
        self.new_count = len(positions) - 1
        self.parts = blocks((self.count, *self.lines))
        if varying:
            self.weights = [cell_integrals(positions[part], self.count, periodic) for part in self.parts]
        else:
            self.weights = [cell_integrals(positions, self.count, periodic)] * len(self.parts)

    def __call__(self, mass: Array) -> Array:
        """Return the moved probability of the cells."""
        lines = mass.transpose(self.order)
        shape = (self.new_count, *self.lines)
        result = np.empty([shape[self.order.index(i)] for i in range(mass.ndim)])
        target = result.transpose(self.order)
        for part, weights in zip(self.parts, self.weights, strict=True):
            target[part] = self.moved(np.ascontiguousarray(lines[part]), weights)
        return result

    def moved(self, mass: Array, weights: Matrix) -> Array:
        """Return the moved probability of some lines, which lie along the first axis."""
        count = self.count
        both = np.empty((2 * count + 1, *mass.shape[1:]))
        both[:count] = averages(mass, self.periodic)
        face_densities(both[:count], self.periodic, out=both[count:])
        moved = weights @ both.reshape(weights.shape[1], -1)
        np.maximum(moved, 0, out=moved)  # rounding only: the weights leave nothing negative in exact arithmetic
        return centre_values(moved.reshape(self.new_count, *mass.shape[1:]), self.periodic)


def ordered_positions(feet: Array, count: int, periodic: bool) -> Array:
    """Return feet that increase along the first axis, from end to end of a line or once around."""
    positions = feet.copy()
    if periodic:
        positions[-1] = positions[0] + count
        np.maximum.accumulate(positions, axis=0, out=positions)
        return np.asarray(np.minimum(positions, positions[0] + count))
    positions[0], positions[-1] = 0, count
    np.maximum.accumulate(positions, axis=0, out=positions)
    np.clip(positions, 0, count, out=positions)
    return positions


def cell_integrals(positions: Array, count: int, periodic: bool) -> Matrix:
    """Return the weights of cell averages and face densities in the integrals between neighbouring feet.

    From a foot in cell :math:`a` to one in cell :math:`b` a row holds the cells and the faces of :math:`a` to
    :math:`b`: the whole cells but the last, less what lies left of the first foot, with what lies left of the second.
    """
    lines = int(np.prod(positions.shape[1:]))
    positions = positions.reshape(len(positions), lines)
    index = np.floor(positions).astype(np.int32)
    if not periodic:
        np.minimum(index, count - 1, out=index)
    part = positions - index
    rest, square = 1 - part, part * part
    left_of_foot = square * (3 - 2 * part), part * rest * rest, -square * rest
    whole = np.diff(index, axis=0).ravel()
    starts = np.zeros(whole.size + 1, np.int32)
    np.cumsum(2 * whole + 3, out=starts[1:])
    first, cells = starts[:-1], whole + 1
    line = np.arange(lines, dtype=np.int32)
    cell = np.repeat((index[:-1] * lines + line).ravel(), 2 * whole + 3)
    beyond = np.arange(starts[-1], dtype=np.int32) - np.repeat(first, 2 * whole + 3)
    faces = beyond >= (among := np.repeat(cells, 2 * whole + 3))
    columns = cell + lines * (beyond - np.where(faces, among, 0))
    if periodic:
        columns %= count * lines
    columns += count * lines * faces
    weights = np.where(faces, 0.0, 1.0)
    weights[first + whole] = 0.0
    for foot, sign, ahead in ((slice(None, -1), -1.0, 0), (slice(1, None), 1.0, whole)):
        in_cell, below, above = (sign * each[foot].ravel() for each in left_of_foot)
        cell_at, face_at = first + ahead, first + cells + ahead
        weights[cell_at] += in_cell
        weights[face_at] += below
        weights[face_at + 1] += above
    return scipy.sparse.csr_matrix((weights, columns, starts), shape=(whole.size, (2 * count + 1) * lines))
