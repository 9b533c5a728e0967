"""One solution of the Fokker-Planck equation: a grid, a step, and the density at some times."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from analysis.references.grid.cells import Array, Cells
from analysis.references.grid.initial import initial_mass
from analysis.references.grid.pilot import Window, is_steady
from analysis.references.grid.splitting import INNER, OUTER, Propagator
from analysis.references.grid.transport import Remap
from physcore.errors import NumericalError
from physcore.process import Process

__all__ = ["Resolution", "is_steady_within", "march", "regridded"]

PROBES = 64
Progress = Callable[[float], None]


@dataclasses.dataclass(frozen=True)
class Resolution:
    """How finely to solve.

    Arguments:
        counts: Cells along each dimension.
        step: Largest time step before halving, in units of the inverse rate of a window, or of time where ``absolute``.
        absolute: Whether ``step`` is a time.
        halvings: How often the step has been halved.
    """

    counts: tuple[int, ...]
    step: float
    absolute: bool = False
    halvings: int = 0

    def steps(self, duration: float, window: Window) -> int:
        """Return the number of steps for a stretch of time within a window.

        Long stretches take twice the steps at every level. Those far below the step take one until a level needs half.
        """
        largest = self.step if self.absolute or window.rate == 0 else self.step / window.rate
        part = duration / largest * (1 - 1e-9)
        if part > 0.5:
            return math.ceil(part) * (1 << self.halvings)
        skipped = 0 if part <= 0 else -math.ceil(math.log2(part)) - 1
        return 1 << max(0, self.halvings - skipped)

    def finer(self) -> "Resolution":
        """Return the next resolution, twice the cells along each dimension and half the step."""
        counts = tuple(2 * count for count in self.counts)
        return dataclasses.replace(self, counts=counts, halvings=self.halvings + 1)


def march(
    process: Process,
    windows: Sequence[Window],
    resolution: Resolution,
    times: Sequence[float],
    progress: Progress | None = None,
) -> Iterator[tuple[float, Cells, Array]]:
    """Solve and yield the density at some times.

    Arguments:
        process: The process.
        windows: Windows of time with their boxes.
        resolution: Cells and steps.
        times: Times to stop at, increasing, none negative.
        progress: Called with the fraction done after each step.

    Yields:
        Time, grid, and the probability of each cell.

    Raises:
        NumericalError: If the density leaves the finite numbers; the time is named.
    """
    cells, mass = None, np.zeros(0)
    for window in windows:
        box = window.cells(resolution.counts)
        mass = initial_mass(process, box) if cells is None else regridded(mass, cells, box)
        if cells is None and times[0] <= window.start:
            yield times[0], box, mass
        cells = box
        propagator = Propagator(process, cells, is_steady_within(process, window, resolution))
        stops = [time for time in times if window.start < time < window.end]
        time = window.start
        for stop in [*stops, window.end]:
            if stop > time:
                steps = resolution.steps(stop - time, window)
                for k, moved in enumerate(propagator.advance(mass, time, stop - time, steps)):
                    mass = moved
                    if progress is not None:
                        progress((time + (k + 1) * (stop - time) / steps) / times[-1])
            time = stop
            if not np.isfinite(mass).all():
                raise NumericalError(f"The density of {process!r} is not finite at time {time:g}.")
            if stop in times and stop > window.start:
                yield stop, cells, mass


def regridded(mass: Array, old: Cells, new: Cells) -> Array:
    """Return the probability on another box; what lies beyond it goes to the cells at its ends."""
    for axis in range(old.dimension):
        faces = (new.faces(axis) - old.lower[axis]) / old.widths[axis]
        if len(faces) != old.counts[axis] + 1 or not np.allclose(faces, np.arange(len(faces)), atol=1e-9):
            places = [-1 if i == axis else 1 for i in range(old.dimension)]
            mass = Remap(faces.reshape(places), axis, mass.shape, old.periodic[axis])(mass)
    return mass


def is_steady_within(process: Process, window: Window, resolution: Resolution) -> bool:
    """Return whether drift and noise are the same, to the last bit, at all times the steps use."""
    generator = torch.Generator().manual_seed(0)
    low, high = (torch.tensor(end, dtype=torch.float64) for end in (window.lower, window.upper))
    probes = low + (high - low) * torch.rand(PROBES, process.dimension, dtype=torch.float64, generator=generator)
    steps = resolution.steps(window.end - window.start, window)
    step = (window.end - window.start) / steps
    inside = np.array([0, OUTER, OUTER + INNER])
    times = (window.start + step * (np.arange(steps)[:, None] + inside)).ravel()
    return is_steady(process, probes, times)
