r"""Feet of the characteristics along one axis.

With the other coordinate frozen, what ends at :math:`y` at time :math:`t + \tau` solves

.. math:: \frac{dy}{ds} = -f_a(y, t + \tau - s), \qquad 0 \le s \le \tau

backward from a face. Runge and Kutta's fourth-order scheme, in substeps that keep :math:`|\partial_a f_a| \Delta s`
below 0.3 where the drift is stiffest; stages are kept in the box, beyond which nothing is known.
"""

import numpy as np
import torch
from torch import Tensor

from analysis.references.grid.cells import Array, Cells
from physcore.errors import NumericalError
from physcore.process import Process

__all__ = ["feet"]

LARGEST_RATE = 0.3
MOST_SUBSTEPS = 64


def drift_along(process: Process, state: Tensor, time: float, axis: int) -> Tensor:
    """Return one component of the drift in float64, refusing what is not finite."""
    drift = process.drift(state, torch.tensor(time, dtype=torch.float64))[..., axis].double()
    if not bool(torch.isfinite(drift).all()):
        raise NumericalError(f"The drift of {process!r} is not finite on the grid at time {time:g}.")
    return drift


def feet(process: Process, cells: Cells, axis: int, start: float, duration: float, *, frozen: bool = False) -> Array:
    """Return where the faces along an axis come from.

    Arguments:
        process: The process.
        cells: The grid.
        axis: Axis of the motion.
        start: Time at which the motion starts.
        duration: Its duration.
        frozen: Whether the drift stays that of the start.

    Returns:
        Feet in cells from the lower end, shape of the grid with one more along ``axis``.

    Error:
        Order 4 in the substep, 2e-5 of a cell's own motion at the stiffest allowed rate.
    """
    state = cells.points(face_axis=axis)
    low, high, width = cells.lower[axis], cells.upper[axis], cells.widths[axis]
    elapsing = 0.0 if frozen else 1.0
    velocity = drift_along(process, state, start + elapsing * duration, axis)
    steepest = float(torch.diff(velocity, dim=axis).abs().max()) / width
    substeps = min(max(1, int(np.ceil(steepest * abs(duration) / LARGEST_RATE))), MOST_SUBSTEPS)
    step = duration / substeps
    position = state[..., axis].clone()

    def backward(offset: Tensor, time: float) -> Tensor:
        place = (position + offset).clamp(low, high)
        moved = torch.stack([place if i == axis else state[..., i] for i in range(cells.dimension)], -1)
        return -drift_along(process, moved, time, axis)

    for substep in range(substeps):
        time = start + elapsing * (duration - substep * step)
        first = backward(torch.zeros_like(position), time)
        second = backward(step / 2 * first, time - elapsing * step / 2)
        third = backward(step / 2 * second, time - elapsing * step / 2)
        fourth = backward(step * third, time - elapsing * step)
        position = (position + step / 6 * (first + 2 * second + 2 * third + fourth)).clamp(low, high)
    found: Array = ((position - low) / width).numpy()
    return found
