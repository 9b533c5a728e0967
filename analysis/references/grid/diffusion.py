r"""The effect of the noise over a short time: convolution with a Gaussian, positive and conservative.

.. math:: p' = N(0, \Sigma) * p, \qquad \Sigma = \int G G^T dt

Along an axis with :math:`s = \Sigma / h^2 \ge 0.6` the Gaussian is sampled at the centres: by Poisson's summation
formula the error is of order :math:`e^{-2 \pi^2 s}`, 3e-9 at :math:`s = 1`. Narrower ones are positive weights on five
cells that have the Gaussian's moments below the sixth, for :math:`s \ge 1/3`. Below, the weights that have them are

.. math:: p' = p + \tfrac{s}{2}\,\delta^2 p - \tfrac{1}{24} (s - 3 s^2)\,\delta^4 p,

of which the last is not positive; it is taken as fluxes, limited where they would empty a cell. Probability that would
leave the box is reflected, or goes around an axis that closes on itself.

A correlated Gaussian is the convolution of Gaussians along vectors of the grid (``lattice``), exact but for what the
weights are. Where it is nearly degenerate, of fewer independent noises than components, it is that of Gaussians along
the columns of the Cholesky factor of its covariance: the grid is sheared until the noise acts on one axis alone,
convolved there and sheared back. Such a shear is a remap, of order 4 at each step, that goes around the ends of its
axis. Shears, narrow weights and their limited fluxes are derived here.

Source: Goodwin, The evaluation of integrals of the form (1949), for the sum's error.
"""

import math
from collections.abc import Callable

import numpy as np

from analysis.references.grid.cells import Array, Cells
from analysis.references.grid.lattice import CellShear, Vector, steps_along_lattice
from analysis.references.grid.reconstruction import averages, blocks, centre_values, face_densities

__all__ = ["Convolution", "NarrowConvolution", "Operation", "Shear", "gaussian_kick", "gaussian_weights"]

REACH = 9.0  # standard deviations kept of a sampled Gaussian, exp(-40) of its peak
NARROW = 0.6  # variance in squared cells below which few weights match moments better than samples do
NARROWEST = 1 / 3  # below which no positive weights match them
SHARE = 0.25  # of either neighbour, which a correction may move at most
BLOCK = 64  # rows of a banded matrix multiplied at once

Operation = Callable[[Array], Array]


def gaussian_weights(variance: float) -> Array:
    """Return positive weights of a Gaussian on a grid of unit cells.

    Arguments:
        variance: Variance in squared cell widths, at least 1/3.

    Returns:
        Weights of an odd number of cells, the middle one the Gaussian's centre; their sum is 1.
    """
    if variance < NARROW:
        far = (3 * variance**2 - variance) / 24
        near = (4 * variance - 3 * variance**2) / 6
        return np.array([far, near, 1 - 2 * near - 2 * far, near, far])
    squares = np.square(np.arange(-(reach := math.ceil(REACH * math.sqrt(variance))), reach + 1.0))
    sampled = variance
    weights: Array = squares
    for _ in range(3):  # the variance of the samples is that of the Gaussian but for the last digits
        weights = np.exp(-0.5 * squares / sampled)
        weights /= weights.sum()
        sampled += variance - float(weights @ squares)
    return weights


class Convolution:
    """Convolve along one axis with a Gaussian.

    Arguments:
        variance: Variance in squared cell widths.
        axis: Axis of the convolution.
        count: Number of cells along it.
        periodic: Whether the axis closes on itself.
    """

    def __init__(self, variance: float, axis: int, count: int, periodic: bool = False) -> None:
        kernel = gaussian_weights(variance)
        reach = len(kernel) // 2
        offsets = np.arange(-reach, reach + 1)
        self.axis, self.count = axis, count
        self.blocks = []
        for start in range(0, count, BLOCK):
            rows = slice(start, min(start + BLOCK, count))
            source = np.arange(start - reach, rows.stop + reach)
            if not periodic:
                source = source[(source >= 0) & (source < count)]
            target = source[:, None] + offsets
            if not periodic:
                target %= 2 * count
                target = np.where(target < count, target, 2 * count - 1 - target)  # reflected at the ends
            target -= start
            here = (target >= 0) & (target < rows.stop - start)
            matrix = np.zeros((rows.stop - start, len(source)))
            column = np.broadcast_to(np.arange(len(source))[:, None], target.shape)
            np.add.at(matrix, (target[here], column[here]), np.broadcast_to(kernel, target.shape)[here])
            inside = source[0] >= 0 and source[-1] < count
            taken = slice(int(source[0]), int(source[-1]) + 1) if inside else source % count
            self.blocks.append((rows, taken, matrix))

    def __call__(self, mass: Array) -> Array:
        """Return the convolved probability of the cells."""
        before, after = math.prod(mass.shape[: self.axis]), math.prod(mass.shape[self.axis + 1 :])
        lines = np.ascontiguousarray(mass).reshape(before, self.count, after)
        result = np.empty_like(lines)
        for out, source, matrix in self.blocks:
            if after == 1:
                result[:, out, 0] = lines[:, source, 0] @ matrix.T
            else:
                np.matmul(matrix, lines[:, source], out=result[:, out])
        return result.reshape(mass.shape)


class NarrowConvolution:
    """Convolve along one axis with a Gaussian narrower than a cell.

    Arguments:
        variance: Variance in squared cell widths, at most 1/3.
        axis: Axis of the convolution.
        periodic: Whether the axis closes on itself.
    """

    def __init__(self, variance: float, axis: int, periodic: bool = False) -> None:
        self.axis, self.mode = axis, "wrap" if periodic else "symmetric"
        self.spread, self.correction = variance / 2, (3 * variance**2 - variance) / 24

    def __call__(self, mass: Array) -> Array:
        """Return the convolved probability of the cells."""
        result = np.empty_like(mass)
        lines, target = np.moveaxis(mass, self.axis, 0), np.moveaxis(result, self.axis, 0)
        for part in blocks(lines.shape):
            target[part] = self.convolved(lines[part])
        return result

    def convolved(self, lines: Array) -> Array:
        """Return convolved lines, which lie along the first axis."""
        flux = np.diff(extended(lines, 2, self.mode), axis=0)  # through the faces, one beyond either end
        spread: Array = lines + self.spread * np.diff(flux[1:-1], axis=0)
        flux = self.correction * np.diff(flux, 2, axis=0)
        around = extended(spread, 1, self.mode)
        bound = SHARE * np.minimum(around[1:], around[:-1])
        spread += np.diff(np.clip(flux, -bound, bound), axis=0)
        return spread


def extended(lines: Array, reach: int, mode: str) -> Array:
    """Return lines with cells repeated beyond their ends, around (``wrap``) or mirrored (``symmetric``)."""
    if mode == "wrap":
        return np.concatenate([lines[-reach:], lines, lines[:reach]])
    return np.concatenate([lines[reach - 1 :: -1], lines, lines[: -reach - 1 : -1]])


class Shear:
    """Shift every line of a grid along one axis by its own distance, around the ends.

    Arguments:
        shifts: Shift in cells of the lines at each place of another axis, shape ``(places,)``.
        axis: Axis along which lines shift.
        other: The other axis.
        shape: Cells along each axis.
    """

    def __init__(self, shifts: Array, axis: int, other: int, shape: tuple[int, ...]) -> None:
        self.axis = axis
        whole = np.floor(-shifts)
        self.order = (axis, other, *(i for i in range(len(shape)) if i not in (axis, other)))
        trailing = (slice(None), *(None,) * (len(shape) - 2))
        self.part = (-shifts - whole)[trailing]
        self.lower = ((np.arange(shape[axis])[:, None] + whole.astype(int)) % shape[axis])[:, *trailing]

    def __call__(self, mass: Array) -> Array:
        """Return the sheared probability of the cells."""
        means = averages(mass.transpose(self.order), periodic=True)
        faces = face_densities(means, periodic=True)
        part, square = self.part, self.part * self.part
        left = square * (3 - 2 * part) * means
        left += part * (1 - part) ** 2 * faces[:-1] - square * (1 - part) * faces[1:]
        np.clip(left, 0, means, out=left)
        kept = np.take_along_axis(means - left, self.lower, 0)
        kept += np.roll(np.take_along_axis(left, self.lower, 0), -1, 0)
        return np.ascontiguousarray(centre_values(kept, periodic=True).transpose(np.argsort(self.order)))


def gaussian_kick(covariance: Array, cells: Cells) -> list[Operation]:
    """Return the operations, to be done in order, that convolve with a Gaussian.

    Arguments:
        covariance: Covariance, shape ``(component, component)``, positive semidefinite.
        cells: The grid.

    Returns:
        Operations from probabilities of the cells to the same; none where the covariance is zero.

    Raises:
        ValueError: If noise is correlated between axes that both close on themselves, where no shear fits.
    """
    noisy = [axis for axis in range(cells.dimension) if covariance[axis, axis] > 0]
    scaled = (covariance / np.outer(cells.widths, cells.widths))[np.ix_(noisy, noisy)]
    if not noisy:
        return []
    if np.count_nonzero(scaled - np.diag(np.diag(scaled))) and len(noisy) > 1:
        steps = steps_along_lattice(scaled)
        kicks = None if steps is None else lattice_kicks(steps, noisy, cells)
        return oblique_kicks(covariance, cells) if kicks is None else kicks
    return [axis_kick(float(variance), axis, cells) for axis, variance in zip(noisy, np.diag(scaled), strict=True)]


def axis_kick(variance: float, axis: int, cells: Cells) -> Operation:
    """Return the convolution along an axis, its variance in squared cells."""
    if variance < NARROWEST:
        return NarrowConvolution(variance, axis, cells.periodic[axis])
    return Convolution(variance, axis, cells.counts[axis], cells.periodic[axis])


def lattice_kicks(steps: list[tuple[Vector, float]], noisy: list[int], cells: Cells) -> list[Operation] | None:
    """Return the operations that convolve along vectors of the grid, None where one needs an axis that closes."""
    operations: list[Operation] = []
    for short, variance in steps:
        vector = np.zeros(cells.dimension, np.int64)
        vector[noisy] = short
        axes = np.nonzero(vector)[0]
        mains = [int(axis) for axis in axes if abs(vector[axis]) == 1 and not (cells.periodic[axis] and len(axes) > 1)]
        if not mains:
            return None
        main, slopes = mains[0], vector * vector[mains[0]]
        slopes[main] = 0
        kick = axis_kick(variance, main, cells)
        if len(axes) > 1:
            there, back = CellShear(-slopes, main, cells.counts), CellShear(slopes, main, cells.counts)
            operations += [there, kick, back]
        else:
            operations.append(kick)
    return operations


def oblique_kicks(covariance: Array, cells: Cells) -> list[Operation]:
    """Return the operations that convolve along the columns of the covariance's Cholesky factor."""
    rest, kicks, open_axes = covariance.copy(), [], list(range(cells.dimension))
    while open_axes:
        # The widest first, in cells; an axis that closes on itself can be sheared along, but not across.
        scaled = [
            rest[axis, axis] / cells.widths[axis] ** 2 * (1e-30 if cells.periodic[axis] else 1.0) for axis in open_axes
        ]
        main = open_axes.pop(int(np.argmax(scaled)))
        variance = float(rest[main, main])
        if variance <= 1e-12 * covariance[main, main]:
            continue
        slopes = {other: float(rest[main, other]) / variance for other in open_axes if rest[main, other] != 0}
        if slopes and cells.periodic[main]:
            raise ValueError("noise that is correlated between two periodic components cannot be put on a grid.")
        rest = rest - np.outer(rest[main], rest[main]) / variance
        kicks.append(oblique_kick(variance, main, slopes, cells))
    return [operation for kick in reversed(kicks) for operation in kick]


def oblique_kick(variance: float, main: int, slopes: dict[int, float], cells: Cells) -> list[Operation]:
    """Return the operations that convolve along one direction, with slopes against the main axis."""
    centres = cells.centres(main)
    shears: list[tuple[Operation, Operation]] = []
    for other, slope in slopes.items():
        shifts = slope * (centres - centres.mean()) / cells.widths[other]
        shears.append((Shear(-shifts, other, main, cells.counts), Shear(shifts, other, main, cells.counts)))
    kick = axis_kick(variance / cells.widths[main] ** 2, main, cells)
    return [*(there for there, _ in shears), kick, *(back for _, back in reversed(shears))]
