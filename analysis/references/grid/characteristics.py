r"""Feet of the characteristics along one axis.

With the other coordinates frozen, what ends at :math:`y` at time :math:`t + \tau` solves

.. math:: \frac{dy}{ds} = -f_a(y, t + \tau - s), \qquad 0 \le s \le \tau

backward from a face. Runge and Kutta's fourth-order scheme, in substeps that keep :math:`|\partial_a f_a| \Delta s`
below 0.3 where the drift is stiffest; stages are kept in the box, beyond which nothing is known, or go around it. Feet
are found once along axes on which that component of the drift does not depend.
"""

import dataclasses
import math

import numpy as np
import torch
from torch import Tensor

from analysis.references.grid.cells import Array, Cells
from analysis.references.grid.reconstruction import blocks
from physcore.errors import NumericalError
from physcore.process import Process

__all__ = ["feet", "idle_axes"]

LARGEST_RATE = 0.3
MOST_SUBSTEPS = 64
PROBES = 32  # places along each axis at which a drift is asked whether it depends on the axis
GOLDEN = (math.sqrt(5) - 1) / 2
EQUAL = 1e-13  # relative difference of drifts that do not differ


def drift_along(process: Process, state: Tensor, time: float, axis: int) -> Tensor:
    """Return one component of the drift in float64, refusing what is not finite."""
    drift = process.drift(state, torch.tensor(time, dtype=torch.float64))[..., axis].double()
    if not bool(torch.isfinite(drift).all()):
        raise NumericalError(f"The drift of {process!r} is not finite on the grid at time {time:g}.")
    return drift


def idle_axes(process: Process, cells: Cells, axis: int, times: tuple[float, ...]) -> tuple[int, ...]:
    """Return the other axes on which one component of the drift does not depend at some times."""
    # Irregular places, lest a drift repeat itself from one to the next.
    places = torch.from_numpy(np.sort(np.modf((np.arange(PROBES) + 0.5) * GOLDEN)[0]))
    ends = zip(cells.lower, cells.upper, strict=True)
    probes = torch.stack(torch.meshgrid(*(low + (high - low) * places for low, high in ends), indexing="ij"), -1)
    others = {i for i in range(cells.dimension) if i != axis}
    for time in times:
        drift = drift_along(process, probes, time, axis)
        bound = EQUAL * float(drift.abs().max())
        others -= {i for i in others if float((drift - drift.narrow(i, 0, 1)).abs().max()) > bound}
    return tuple(sorted(others))


def feet(
    process: Process,
    cells: Cells,
    axis: int,
    start: float,
    duration: float,
    *,
    frozen: bool = False,
    idle: tuple[int, ...] | None = None,
) -> Array:
    """Return where the faces along an axis come from.

    Arguments:
        process: The process.
        cells: The grid.
        axis: Axis of the motion.
        start: Time at which the motion starts.
        duration: Its duration.
        frozen: Whether the drift stays that of the start.
        idle: The other axes on which the drift along this one does not depend; found when None.

    Returns:
        Feet in cells from the lower end, shape of the grid with one more along ``axis``, and length 1 along axes on
        which they do not depend.

    Error:
        Order 4 in the substep, 2e-5 of a cell's own motion at the stiffest allowed rate.
    """
    times = (start,) if frozen else (start, start + duration / 2, start + duration)
    single = idle_axes(process, cells, axis, times) if idle is None else idle
    state = cells.points(face_axis=axis, single=single)
    motion = Motion(process, axis, times[-1], duration, frozen, ends(cells, axis))
    # In blocks, whose intermediate states stay in the cache.
    lines = state.movedim(axis, 0)
    parts = [lines[part] for part in blocks(tuple(lines.shape[:-1]))]
    steepest = max(motion.steepness(part) for part in parts) / cells.widths[axis]
    substeps = min(max(1, math.ceil(steepest * abs(duration) / LARGEST_RATE)), MOST_SUBSTEPS)
    found = torch.cat([motion.backward(part, substeps) for part in parts], dim=min(1, state.ndim - 2)).movedim(0, axis)
    feet_in_cells: Array = ((found - cells.lower[axis]) / cells.widths[axis]).numpy()
    return feet_in_cells


def ends(cells: Cells, axis: int) -> tuple[float, float]:
    """Return the ends of an axis that a motion stays between, infinite where it closes on itself."""
    return (-math.inf, math.inf) if cells.periodic[axis] else (cells.lower[axis], cells.upper[axis])


@dataclasses.dataclass(frozen=True)
class Motion:
    """The motion along one axis, followed backward in time.

    Arguments:
        process: The process.
        axis: Axis of the motion.
        end: Time at which it ends.
        duration: Its duration.
        frozen: Whether the drift stays that of one time.
        ends: Lower and upper end of what it stays between.
    """

    process: Process
    axis: int
    end: float
    duration: float
    frozen: bool
    ends: tuple[float, float]

    def steepness(self, state: Tensor) -> float:
        """Return the largest difference of the drift between neighbours along the first dimension of states."""
        return float(torch.diff(drift_along(self.process, state, self.end, self.axis), dim=0).abs().max())

    def backward(self, state: Tensor, substeps: int) -> Tensor:
        """Return where states come from along the axis, shape of the states without the last dimension."""
        step, elapsing = self.duration / substeps, 0.0 if self.frozen else 1.0
        position = state[..., self.axis].clone()
        moved = state.clone()

        def velocity(offset: Tensor | float, time: float) -> Tensor:
            moved[..., self.axis] = (position + offset).clamp(*self.ends)
            return -drift_along(self.process, moved, time, self.axis)

        for substep in range(substeps):
            time = self.end - elapsing * substep * step
            first = velocity(0.0, time)
            second = velocity(step / 2 * first, time - elapsing * step / 2)
            third = velocity(step / 2 * second, time - elapsing * step / 2)
            fourth = velocity(step * third, time - elapsing * step)
            position = (position + step / 6 * (first + 2 * second + 2 * third + fourth)).clamp(*self.ends)
        return position
