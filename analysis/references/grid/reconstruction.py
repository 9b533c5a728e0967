r"""From values at cell centres to cell averages and face densities along the first axis, and back, to fourth order.

Values at centres become averages by :math:`1 + \delta^2 / 24` and averages values by its inverse to fourth order,
both as fluxes between cells, the second limited to keep the sign. Face densities are limited so that the cumulative
probability is monotone; see ``transport``.

Source: Colella and Woodward, The piecewise parabolic method (1984), for the face densities. The value-average
conversion as limited fluxes is derived here.
"""

import math

import numpy as np

from analysis.references.grid.cells import Array

__all__ = ["averages", "blocks", "centre_values", "face_densities"]

BLOCK = 2**15  # cells worked on at once, so that intermediate arrays stay in the cache


def blocks(shape: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """Return indices that cut lines along the first axis of an array into blocks along the second."""
    if len(shape) == 1:
        return [(slice(None),)]
    length = max(1, BLOCK * shape[1] // math.prod(shape))
    return [(slice(None), slice(start, start + length)) for start in range(0, shape[1], length)]


def averages(values: Array, periodic: bool = False) -> Array:
    """Return cell averages along the first axis from values at centres, fourth order, sum and sign kept."""
    result = values.copy()
    flux = values[1:] - values[:-1]
    flux /= 24
    result[:-1] += flux
    result[1:] -= flux
    if periodic:
        around = (values[0] - values[-1]) / 24
        result[-1] += around
        result[0] -= around
    return result


def centre_values(means: Array, periodic: bool = False) -> Array:
    """Return values at centres along the first axis from cell averages, fourth order, sum and sign kept."""
    result = means.copy()
    flux = limited_flux(means[:-1], means[1:])
    result[:-1] -= flux
    result[1:] += flux
    if periodic:
        around = limited_flux(means[-1:], means[:1])
        result[-1:] -= around
        result[:1] += around
    return result


def limited_flux(left: Array, right: Array) -> Array:
    """Return what averages differ from values by, no more than a quarter of either neighbour."""
    flux: Array = right - left
    flux /= 24
    bound = np.minimum(left, right)
    bound *= 0.25
    np.minimum(flux, bound, out=flux)
    np.negative(bound, out=bound)
    np.maximum(flux, bound, out=flux)
    return flux


def face_densities(means: Array, periodic: bool = False, *, out: Array | None = None) -> Array:
    """Return limited densities at the faces along the first axis, one more than the cells; fourth order inside."""
    count = len(means)
    faces = np.empty((count + 1, *means.shape[1:])) if out is None else out
    faces[0], faces[-1] = means[0], means[-1]
    inner = faces[1:-1]
    np.add(means[:-1], means[1:], out=inner)
    inner *= 0.5
    if count >= 4:
        deep = faces[2:-2]
        deep *= 7 / 6
        outer = means[:-3] + means[3:]
        outer /= 12
        deep -= outer
    bound = np.minimum(means[:-1], means[1:])
    bound *= 3
    np.minimum(inner, bound, out=inner)
    np.maximum(inner, 0, out=inner)
    if periodic:
        close(faces, means)
    return faces


def close(faces: Array, means: Array) -> None:
    """Set the faces next to the ends of an axis that closes on itself."""
    count = len(means)
    for face in (-1, 0, 1):
        far, left, right, beyond = (means[(face + k) % count] for k in (-2, -1, 0, 1))
        value = (7 * (left + right) - far - beyond) / 12
        faces[face % count] = np.clip(value, 0, 3 * np.minimum(left, right))
    faces[count] = faces[0]
