"""The options of a Fokker-Planck solution, checked once."""

import dataclasses
import math
from typing import Any

from analysis.references.grid.march import Resolution
from analysis.references.grid.pilot import Turns

__all__ = ["Box", "Options"]

Box = tuple[tuple[float, float], ...]

FIRST_COUNT = {1: 128, 2: 128, 3: 16}  # cells along each axis of the coarsest grid, by dimension
FIRST_STEP = 0.8  # step of the coarsest grid, in units of the drift's inverse rate
LEVELS_FACTOR = 4  # from the coarsest of three levels to the finest
MOST_CELLS = {1: 2**14, 2: 2**20, 3: 2**21}
MOST_KEPT = 2**27  # values of all times together, 1 GB with their splines


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Options of ``FokkerPlanck``.

    Arguments:
        names: Names of the components of the process.
        box: Lower and upper end of each component, found when None.
        periods: Length of a turn of the components that close on themselves, by name.
        cells: Cells along each component, refined until ``tolerance`` when None.
        step: Largest time step, from the drift's rate when None.
        tolerance: Relative squared score error to refine to.
        max_cells: Cells in total beyond which refinement ends.

    Raises:
        ValueError: If an option is out of range.
    """

    names: tuple[str, ...]
    box: Box | None
    periods: dict[str, float] | None
    cells: tuple[int, ...] | None
    step: float | None
    tolerance: float
    max_cells: int | None

    def __post_init__(self) -> None:
        if self.box is not None:
            object.__setattr__(self, "box", checked_box(self.box, self.dimension))
        check_periods(self.periods or {}, self.names, self.box)
        if self.cells is not None:
            object.__setattr__(self, "cells", checked_cells(self.cells, self.dimension))
        if self.step is not None and (self.cells is None or not (self.step > 0 and math.isfinite(self.step))):
            raise ValueError(f"`step` must be positive and finite and given together with `cells`; got {self.step}.")
        if not (self.tolerance > 0 and math.isfinite(self.tolerance)):
            raise ValueError(f"`tolerance` must be positive and finite; got {self.tolerance}.")
        fewest = (LEVELS_FACTOR * FIRST_COUNT[self.dimension]) ** self.dimension
        if self.max_cells is not None and self.max_cells < fewest:
            raise ValueError(
                f"`max_cells` must be at least {fewest}, three levels of refinement; got {self.max_cells}. "
                "Give `cells` for a coarser solution."
            )

    @property
    def dimension(self) -> int:
        """Number of components."""
        return len(self.names)

    @property
    def turns(self) -> Turns:
        """Ends of one turn of each component that closes on itself, None of the others."""
        periods = self.periods or {}
        centred = [(-0.5 * periods[name], 0.5 * periods[name]) if name in periods else None for name in self.names]
        ends = self.box or centred
        return tuple(end if name in periods else None for name, end in zip(self.names, ends, strict=True))

    @property
    def parameters(self) -> dict[str, Any]:
        """The options by name, as the constructor takes them."""
        names = ("box", "periods", "cells", "step", "tolerance", "max_cells")
        return {name: getattr(self, name) for name in names}

    @property
    def goal(self) -> float | None:
        """The error to reach, None where the grid is given."""
        return self.tolerance if self.cells is None else None

    @property
    def coarsest(self) -> Resolution:
        """The resolution of the first of three levels."""
        if self.cells is None:
            return Resolution((FIRST_COUNT[self.dimension],) * self.dimension, FIRST_STEP)
        counts = tuple(count // LEVELS_FACTOR for count in self.cells)
        if self.step is None:
            return Resolution(counts, FIRST_STEP)
        return Resolution(counts, LEVELS_FACTOR * self.step, absolute=True)

    def is_enough(self, counts: tuple[int, ...], times: int, error: float) -> bool:
        """Return whether a solution with these cells at some number of times and this error is the last."""
        most = min(self.max_cells or MOST_CELLS[self.dimension], MOST_KEPT // times)
        return self.cells is not None or error <= self.tolerance or math.prod(counts) * 2**self.dimension > most


def checked_box(box: Box, dimension: int) -> Box:
    """Return a box as pairs of floats, refusing what is none."""
    ends = tuple((float(low), float(high)) for low, high in box)
    if len(ends) != dimension or not all(low < high and math.isfinite(high - low) for low, high in ends):
        raise ValueError(f"`box` must give {dimension} pair(s) of increasing, finite ends; got {box!r}.")
    return ends


def check_periods(periods: dict[str, float], names: tuple[str, ...], box: Box | None) -> None:
    """Refuse periods of other components, that are no lengths, or that a box contradicts."""
    for name, period in periods.items():
        if name not in names:
            raise ValueError(f"`periods` must name components of the process, {', '.join(names)}; got {name!r}.")
        if not (period > 0 and math.isfinite(period)):
            raise ValueError(f"`periods` must be positive and finite; got {period} for {name!r}.")
        if box is not None and not math.isclose(box[names.index(name)][1] - box[names.index(name)][0], period):
            raise ValueError(f"`box` must span one period {period} of {name!r}; got {box[names.index(name)]}.")


def checked_cells(cells: tuple[int, ...], dimension: int) -> tuple[int, ...]:
    """Return numbers of cells as integers, refusing those that cannot be halved twice."""
    fewest = 8 * LEVELS_FACTOR
    fit = len(cells) == dimension and all(count >= fewest and count % LEVELS_FACTOR == 0 for count in cells)
    if not fit:
        raise ValueError(f"`cells` must give {dimension} multiple(s) of 4 from {fewest} on; got {cells!r}.")
    return tuple(int(count) for count in cells)
