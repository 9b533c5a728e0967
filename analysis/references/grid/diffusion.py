r"""The effect of the noise over a short time: convolution with a Gaussian, positive and conservative.

.. math:: p' = N(0, \Sigma) * p, \qquad \Sigma = \int G G^T dt

Along an axis with :math:`s = \Sigma / h^2 \ge 0.6` the Gaussian is sampled at the centres: by Poisson's summation
formula the error is of order :math:`e^{-2 \pi^2 s}`, 3e-9 at :math:`s = 1`. Narrower ones are positive weights on five
cells that have the Gaussian's moments below the sixth, for :math:`s \ge 1/3`, and on three cells those below the
fourth. Below 1/3 no positive weights on the grid have the right fourth moment; what is
left is a fourth derivative with coefficient :math:`(s - 3 s^2) h^4 / 24` a kick. Probability that would leave the box
is reflected.

A correlated covariance is sheared along one axis until the noise acts on the other alone, convolved there and
sheared back; a shear is a remap that goes around the ends of its axis. Shears and narrow weights are derived here.

Source: Goodwin, The evaluation of integrals of the form (1949), for the sum's error.
"""

import math
from collections.abc import Callable

import numpy as np

from analysis.references.grid.cells import Array, Cells
from analysis.references.grid.transport import along, averages, centre_values, face_densities

__all__ = ["Convolution", "Shear", "gaussian_kick", "gaussian_weights"]

REACH = 9.0  # standard deviations kept of a sampled Gaussian, exp(-40) of its peak
NARROW = 0.6  # variance in squared cells below which few weights match moments better than samples do
AROUND = 4  # cells repeated beyond the ends of an axis that closes on itself
BLOCK = 64  # rows of a banded matrix multiplied at once


def gaussian_weights(variance: float) -> Array:
    """Return positive weights of a Gaussian on a grid of unit cells.

    Arguments:
        variance: Variance in squared cell widths.

    Returns:
        Weights of an odd number of cells, the middle one the Gaussian's centre; their sum is 1.
    """
    if variance < 1 / 3:
        return np.array([variance / 2, 1 - variance, variance / 2])
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
    """

    def __init__(self, variance: float, axis: int, count: int) -> None:
        kernel = gaussian_weights(variance)
        reach = len(kernel) // 2
        offsets = np.arange(-reach, reach + 1)
        self.axis = axis
        self.blocks = []
        for start in range(0, count, BLOCK):
            rows = slice(start, min(start + BLOCK, count))
            source = np.arange(max(0, start - reach), min(count, rows.stop + reach))
            target = (source[:, None] + offsets) % (2 * count)
            target = np.where(target < count, target, 2 * count - 1 - target) - start  # reflected at the ends
            here = (target >= 0) & (target < rows.stop - start)
            matrix = np.zeros((rows.stop - start, len(source)))
            column = np.broadcast_to(np.arange(len(source))[:, None], target.shape)
            np.add.at(matrix, (target[here], column[here]), np.broadcast_to(kernel, target.shape)[here])
            self.blocks.append((rows, slice(int(source[0]), int(source[-1]) + 1), matrix))

    def __call__(self, mass: Array) -> Array:
        """Return the convolved probability of the cells."""
        result = np.empty_like(mass)
        for out, source, matrix in self.blocks:
            if self.axis == 0:
                np.matmul(matrix, mass[source], out=result[out])
            else:
                result[:, out] = mass[:, source] @ matrix.T
        return result


class Shear:
    """Shift every line of a grid along one axis by its own distance, around the ends.

    Arguments:
        shifts: Shift of each line in cells, shape ``(lines,)``.
        axis: Axis along which lines shift.
        count: Number of cells along it.
    """

    def __init__(self, shifts: Array, axis: int, count: int) -> None:
        self.axis = axis
        whole = np.floor(-shifts)
        part = -shifts - whole
        place = np.arange(count)
        self.part = part[:, None] if axis == 1 else part
        lower = (place + whole[:, None].astype(int)) % count
        self.lower = lower if axis == 1 else lower.T

    def __call__(self, mass: Array) -> Array:
        """Return the sheared probability of the cells."""
        around = [(0, 0), (0, 0)]
        around[self.axis] = (AROUND, AROUND)
        inside = along(self.axis, AROUND, -AROUND)
        means = averages(np.pad(mass, around, mode="wrap"), self.axis)
        faces = face_densities(means, self.axis)
        below, above = faces[along(self.axis, AROUND, -AROUND - 1)], faces[along(self.axis, AROUND + 1, -AROUND)]
        means = means[inside]
        part, square = self.part, self.part * self.part
        left = square * (3 - 2 * part) * means + part * (1 - part) ** 2 * below - square * (1 - part) * above
        left = np.clip(left, 0, means)
        kept = np.take_along_axis(means - left, self.lower, self.axis)
        gained = np.roll(np.take_along_axis(left, self.lower, self.axis), -1, self.axis)
        return centre_values(np.pad(kept + gained, around, mode="wrap"), self.axis)[inside]


def kick_along(variance: float, axis: int, cells: Cells) -> Callable[[Array], Array] | None:
    """Return the convolution along one axis, None where there is no noise."""
    scaled = variance / cells.widths[axis] ** 2
    return Convolution(scaled, axis, cells.shape[axis]) if scaled > 0 else None


def gaussian_kick(covariance: Array, cells: Cells) -> list[Callable[[Array], Array]]:
    """Return the operations, to be done in order, that convolve with a Gaussian.

    Arguments:
        covariance: Covariance, shape ``(component, component)``, positive semidefinite.
        cells: The grid.

    Returns:
        Operations from probabilities of the cells to the same; none where the covariance is zero.
    """
    variances = np.diag(covariance).copy()
    wrapping: list[Callable[[Array], Array]] = []
    unwrapping: list[Callable[[Array], Array]] = []
    if cells.dimension == 2 and covariance[0, 1] != 0:
        main = int(np.argmax(variances / np.square(cells.widths)))
        other = 1 - main
        slope = covariance[0, 1] / variances[main]
        rest = variances[other] - slope * covariance[0, 1]
        variances[other] = rest if rest > 1e-12 * variances[other] else 0.0
        centres = cells.centres(main)
        shifts = slope * (centres - centres.mean()) / cells.widths[other]
        wrapping = [Shear(-shifts, other, cells.counts[other])]
        unwrapping = [Shear(shifts, other, cells.counts[other])]
        kicks = [
            kick_along(variances[other], other, cells),
            *wrapping,
            kick_along(variances[main], main, cells),
            *unwrapping,
        ]
    else:
        kicks = [kick_along(float(variance), axis, cells) for axis, variance in enumerate(variances)]
    return [kick for kick in kicks if kick is not None]
