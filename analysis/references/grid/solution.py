"""A Fokker-Planck equation solved on ever finer grids until the solution knows itself well enough."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from analysis.references.grid.cells import Array, Cells
from analysis.references.grid.march import Resolution, march
from analysis.references.grid.pilot import Window
from analysis.references.grid.refinement import extrapolated_error, score_difference, score_norm
from analysis.references.grid.stationary import settled, stationary_step
from analysis.references.grid.table import LogDensityTable
from physcore.process import Process

__all__ = ["Solution", "refine", "solve", "with_young_times"]

EDGE = 1e-5  # probability in the outermost cells that is no longer negligible
MASS_ERROR = 1e-3
TIMES_PER_HALVING, HALVINGS = 8, 10  # of the time since 0, at which a score is kept that is wanted at all times

Announce = Callable[[Resolution], Callable[[float], None]]


@dataclasses.dataclass(frozen=True)
class Solution:
    """The density at some times and what is known about its error.

    Arguments:
        tables: Log densities by time.
        norms: Mean squares of the score components by time, shape ``(component,)``.
        errors: Mean square errors of the score components by time, shape ``(component,)``.
        counts: Cells along each dimension.
        step: Largest time step, shorter where times lie closer.
        edge: Largest probability found in the outermost cells, a twenty-fifth of an axis at each end.
    """

    tables: dict[float, LogDensityTable]
    norms: dict[float, Array]
    errors: dict[float, Array]
    counts: tuple[int, ...]
    step: float
    edge: float

    def relative_error(self, time: float, components: Sequence[int]) -> float:
        """Return the relative squared error of some score components, 0 where they vanish."""
        chosen = list(components)
        norm = float(self.norms[time][chosen].sum())
        return float(self.errors[time][chosen].sum()) / norm if norm > 0 else 0.0

    def worst_error(self, driven: Sequence[int]) -> float:
        """Return the largest relative error over times, of the full score and of the driven components."""
        selections = [range(len(self.counts)), *([driven] if driven else [])]
        return max(self.relative_error(time, chosen) for time in self.tables for chosen in selections)

    def concerns(self, driven: Sequence[int], tolerance: float | None) -> list[str]:
        """Return what a user should know: a tolerance not reached, probability lost or at the ends of the box."""
        found = []
        worst, mass = self.worst_error(driven), self.tables[min(self.tables)].mass
        if tolerance is not None and worst > tolerance:
            found.append(
                f"the Fokker-Planck score is known to {worst:.1e} only, not to `tolerance` {tolerance:g}, at "
                f"{' x '.join(map(str, self.counts))} cells; give a larger `max_cells` or a closer `box`."
            )
        if abs(mass - 1) > MASS_ERROR:
            found.append(f"the initial density sums to {mass:.6f}; `box` cuts it off or `cells` are too few for it.")
        if self.edge > EDGE:
            found.append(f"probability {self.edge:.1e} lies in the outermost cells; `box` is too small.")
        return found


@dataclasses.dataclass
class Level:
    """One resolution's tables with the differences from the level before."""

    tables: dict[float, LogDensityTable]
    differences: dict[float, Array]
    edge: float


def solve(
    process: Process,
    windows: Sequence[Window],
    resolution: Resolution,
    times: Sequence[float],
    announce: Announce,
    before: Level | None = None,
) -> Level:
    """Solve at one resolution and compare with the level before."""
    tables, differences, edge = {}, {}, 0.0
    for time, cells, mass in densities(process, windows, resolution, times, announce(resolution), before):
        tables[time] = LogDensityTable.of(cells, mass)
        edge = max(edge, rim_probability(mass, cells))
        if before is not None:
            differences[time] = score_difference(tables[time], before.tables[time])
    return Level(tables, differences, edge)


def densities(
    process: Process,
    windows: Sequence[Window],
    resolution: Resolution,
    times: Sequence[float],
    progress: Callable[[float], None],
    before: Level | None,
) -> Iterator[tuple[float, Cells, Array]]:
    """Yield time, grid and probability of the cells at some times, the last of which may be infinite."""
    bounded = [window for window in windows if math.isfinite(window.end)]
    if bounded:
        yield from march(process, bounded, resolution, [time for time in times if math.isfinite(time)], progress)
    if len(bounded) < len(windows):
        known = before.tables[math.inf] if before is not None else None
        yield math.inf, *settled(process, windows[-1], resolution, known, progress)


def largest_step(process: Process, window: Window, resolution: Resolution) -> float:
    """Return the largest time step within a window."""
    if math.isinf(window.end):
        return stationary_step(process, window, resolution)[0]
    return (window.end - window.start) / resolution.steps(window.end - window.start, window)


def rim_probability(mass: Array, cells: Cells) -> float:
    """Return the probability in the outer twenty-fifth of the cells; the very last may be empty where all flows in."""
    rims = [0.0]
    for axis in range(cells.dimension):
        if cells.periodic[axis]:
            continue
        moved = np.moveaxis(mass, axis, 0)
        rim = max(2, len(moved) // 25)
        rims.append(moved[:rim].sum() + moved[-rim:].sum())
    return float(max(rims))


def finished(
    process: Process, level: Level, before: Level | None, resolution: Resolution, windows: Sequence[Window]
) -> Solution:
    """Return the solution of a level, with errors from the levels before it."""
    errors = {
        time: extrapolated_error(difference, before.differences.get(time) if before else None)
        for time, difference in level.differences.items()
    }
    return Solution(
        level.tables,
        {time: score_norm(table) for time, table in level.tables.items()},
        errors,
        resolution.counts,
        max(largest_step(process, window, resolution) for window in windows),
        level.edge,
    )


def refine(
    process: Process,
    windows: Sequence[Window],
    resolution: Resolution,
    times: Sequence[float],
    announce: Announce,
    enough: Callable[[Solution], bool],
) -> Solution:
    """Double cells and halve steps until enough, at least twice.

    Arguments:
        process: The process.
        windows: Windows of time with their boxes.
        resolution: The coarsest resolution.
        times: Times to keep, increasing.
        announce: Called with each resolution; returns what to call with the fraction done.
        enough: Says of a solution whether it is the last.

    Returns:
        The finest solution, its tables cut to where the density matters.
    """
    coarse = solve(process, windows, resolution, times, announce)
    resolution = resolution.finer()
    middle = solve(process, windows, resolution, times, announce, coarse)
    while True:
        resolution = resolution.finer()
        fine = solve(process, windows, resolution, times, announce, middle)
        solution = finished(process, fine, middle, resolution, windows)
        if enough(solution):
            tables = {time: table.cropped() for time, table in solution.tables.items()}
            return dataclasses.replace(solution, tables=tables)
        middle = fine


def with_young_times(times: Sequence[float]) -> list[float]:
    """Return times with others from 0 on, at a constant ratio, where the law is young and changes fast."""
    young = times[-1] * 2.0 ** (-np.arange(HALVINGS * TIMES_PER_HALVING) / TIMES_PER_HALVING)
    distinct: dict[str, float] = {}
    for time in (0.0, *times, *young.tolist()):
        distinct.setdefault(f"{time:.6g}", time)
    return sorted(distinct.values())
