r"""How well a solution knows itself, from the same problem on coarser grids.

.. math:: D_{k}^2 = E |s_{k} - s_{k-1}|^2, \qquad q = D_k / D_{k-1}, \qquad
    E |s_k - s|^2 \approx \left(\frac{q}{1 - q} D_k\right)^2

Levels :math:`k` have twice the cells along each axis and half the step of level :math:`k - 1`. If errors fall by
the factor :math:`q` a level, the differences do too and the sum of those to come is a geometric series. The factor is
measured from three levels and kept in [1/6, 1/2]: at best between the 1/4 of the step's error and the 1/16 of the
cells', lest the fast decay of the latter on the coarser grids hide the slow decay of the former. Expectations are over
the density, on the centres of the coarser grid, which are faces of the finer one.

Source: Roache, Quantification of uncertainty in computational fluid dynamics (1997), with observed order.
"""

import numpy as np

from analysis.references.grid.cells import Array
from analysis.references.grid.table import LogDensityTable

__all__ = ["extrapolated_error", "score_difference", "score_norm"]

BEST, WORST = 1 / 6, 1 / 2
MID_VALUE = np.array([-1, 9, 9, -1]) / 16
MID_SLOPE = np.array([1, -27, 27, -1]) / 24
SLOPE = np.array([1, -8, 0, 8, -1]) / 12


def stencil(values: Array, weights: Array, axis: int, stride: int) -> Array:
    """Return weighted sums of neighbours along an axis, of every ``stride``-th neighbourhood that fits."""
    moved = np.moveaxis(values, axis, 0)
    size = moved.shape[0] - len(weights) + 1
    total = sum(weight * moved[i : i + size : stride] for i, weight in enumerate(weights) if weight != 0)
    return np.moveaxis(np.asarray(total), 0, axis)


def padded(values: Array, axis: int, width: int, periodic: bool) -> Array:
    """Return values continued beyond the ends of an axis, around it or by NaN."""
    padding = [(width, width) if i == axis else (0, 0) for i in range(values.ndim)]
    return np.pad(values, padding, mode="wrap") if periodic else np.pad(values, padding, constant_values=np.nan)


def centre_scores(table: LogDensityTable) -> Array:
    """Return the score at the centres by fourth-order differences, shape ``(component, *grid)``; NaN at the ends."""
    values, cells = table.clipped(), table.cells
    scores = []
    for axis, (width, periodic) in enumerate(zip(cells.widths, cells.periodic, strict=True)):
        scores.append(stencil(padded(values, axis, 2, periodic), SLOPE, axis, 1) / width)
    return np.stack(scores)


def coarse_centre_scores(table: LogDensityTable) -> Array:
    """Return the score of a fine table at the centres of pairs of cells; NaN at the ends."""
    values, cells = table.clipped(), table.cells
    for axis, periodic in enumerate(cells.periodic):
        values = padded(values, axis, 1, periodic)
    scores = []
    for component in range(cells.dimension):
        found = values
        for axis in range(cells.dimension):
            weights = MID_SLOPE / cells.widths[axis] if axis == component else MID_VALUE
            found = stencil(found, weights, axis, 2)
        scores.append(found)
    return np.stack(scores)


def score_norm(table: LogDensityTable) -> Array:
    """Return the mean square of each score component, midpoint rule over the trusted cells."""
    scores = centre_scores(table)
    weight = np.where(table.trusted, np.exp(table.clipped()), 0.0) * table.cells.volume
    return mean_square(weight, scores)


def score_difference(fine: LogDensityTable, coarse: LogDensityTable) -> Array:
    """Return the mean square difference of each score component between two levels.

    Arguments:
        fine: Table on the finer grid.
        coarse: Table on the same box with half the cells along each axis.

    Returns:
        Shape ``(component,)``.
    """
    difference = coarse_centre_scores(fine) - centre_scores(coarse)
    weight = np.where(coarse.trusted, np.exp(coarse.clipped()), 0.0) * coarse.cells.volume
    return mean_square(weight, difference)


def mean_square(weight: Array, fields: Array) -> Array:
    """Return the weighted sum of the squares of each field over the grid, without what is not known."""
    return np.array([np.nansum(weight * field**2) for field in fields])


def extrapolated_error(difference: Array, earlier: Array | None) -> Array:
    """Return the mean square error of the finest of three levels.

    Arguments:
        difference: Mean square difference between the two finest levels.
        earlier: The same between the two coarser ones; the worst order is assumed when None.

    Returns:
        Mean square error, shape of ``difference``.
    """
    if earlier is None:
        factor = np.full(np.shape(difference), WORST)
    else:
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.clip(np.nan_to_num(np.sqrt(difference / earlier), nan=BEST), BEST, WORST)
    return np.asarray(difference * (factor / (1 - factor)) ** 2)
