r"""How well a solution knows itself, from the same problem on coarser grids.

.. math:: D_{k}^2 = E |s_{k} - s_{k-1}|^2, \qquad q = D_k / D_{k-1}, \qquad
    E |s_k - s|^2 \approx \left(\frac{q}{1 - q} D_k\right)^2

Levels :math:`k` have twice the cells along each axis and half the step of level :math:`k - 1`. If errors fall by
the factor :math:`q` a level, the differences do too and the sum of those to come is a geometric series. The factor is
measured from three levels and kept in [1/8, 1/2], order three at best and one at worst, lest the fast decay of one
error on the coarser grids hides the slow decay of another. Expectations are over the density, on the centres of the
coarser grid, which are faces of the finer one.

Source: Roache, Quantification of uncertainty in computational fluid dynamics (1997), with observed order.
"""

import numpy as np

from analysis.references.grid.cells import Array
from analysis.references.grid.table import LogDensityTable

__all__ = ["extrapolated_error", "score_difference", "score_norm"]

BEST, WORST = 1 / 8, 1 / 2
MID_VALUE = np.array([-1, 9, 9, -1]) / 16
MID_SLOPE = np.array([1, -27, 27, -1]) / 24
SLOPE = np.array([1, -8, 0, 8, -1]) / 12


def stencil(values: Array, weights: Array, axis: int, stride: int) -> Array:
    """Return weighted sums of neighbours along an axis, of every ``stride``-th neighbourhood that fits."""
    moved = np.moveaxis(values, axis, 0)
    size = moved.shape[0] - len(weights) + 1
    total = sum(weight * moved[i : i + size : stride] for i, weight in enumerate(weights) if weight != 0)
    return np.moveaxis(np.asarray(total), 0, axis)


def centre_scores(table: LogDensityTable) -> Array:
    """Return the score at the centres by fourth-order differences, shape ``(component, *grid)``; NaN at the ends."""
    values, cells = table.clipped(), table.cells
    scores = np.full((cells.dimension, *cells.shape), np.nan)
    for axis in range(cells.dimension):
        inner = (slice(2, -2), slice(None)) if axis == 0 else (slice(None), slice(2, -2))
        scores[axis][inner] = stencil(values, SLOPE, axis, 1) / cells.widths[axis]
    return scores


def coarse_centre_scores(table: LogDensityTable) -> Array:
    """Return the score of a fine table at the centres of pairs of cells; NaN at the ends."""
    values, cells = table.clipped(), table.cells
    shape = tuple(count // 2 if count > 1 else 1 for count in cells.shape)
    scores = np.full((cells.dimension, *shape), np.nan)
    inner = tuple(slice(1, -1) if count > 1 else slice(None) for count in shape)
    for component in range(cells.dimension):
        found = values
        for axis in range(cells.dimension):
            weights = MID_SLOPE / cells.widths[axis] if axis == component else MID_VALUE
            # The pair of cells 2, 3 is the first whose four neighbours 1, 2, 3, 4 are all there.
            found = stencil(np.moveaxis(np.moveaxis(found, axis, 0)[1:], 0, axis), weights, axis, 2)
        scores[component][inner] = found[tuple(slice(0, n - 2) if n > 1 else slice(None) for n in shape)]
    return scores


def score_norm(table: LogDensityTable) -> Array:
    """Return the mean square of each score component, midpoint rule over the trusted cells."""
    scores = centre_scores(table)
    weight = np.where(table.trusted, np.exp(table.clipped()), 0.0) * table.cells.volume
    return np.asarray(np.nansum(weight * scores**2, axis=(1, 2)))


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
    return np.asarray(np.nansum(weight * difference**2, axis=(1, 2)))


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
