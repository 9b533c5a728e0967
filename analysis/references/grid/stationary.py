r"""The stationary density, as what the steps of the splitting leave as it is.

.. math:: p = e^{\Delta t\,L}\,p

A uniform density on the coarsest grid, the next coarser solution on the others, is moved until it stays. If the
difference of two blocks of steps falls by a steady factor :math:`\lambda` a block, a slow mode is all that is left of
it, and what is to come, :math:`\lambda / (1 - \lambda)` times the difference, is added at once, as far as the density
stays positive. Probability is conserved, for differences have none.

Source: Aitken's extrapolation, in the form of Smith, Ford and Sidi, Extrapolation methods for vector sequences (1987).
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import torch

from analysis.references.grid.cells import Array, Cells
from analysis.references.grid.march import Resolution
from analysis.references.grid.pilot import Turns, Window, survey
from analysis.references.grid.splitting import Propagator, covariance_rate
from analysis.references.grid.table import LogDensityTable
from physcore.errors import NumericalError
from physcore.process import Process

__all__ = ["settled", "stationary_step", "stationary_window"]

FIRST_DURATION = 8.0  # of pilot paths, in units of the drift's inverse rate
DOUBLINGS = 5
GROWTH = 1.25  # of a range between two halves of a pilot's second half, above which it has not settled
SHIFT = 0.1  # of a range, likewise
SETTLED = 1e-6  # probability still to be moved
STEADY = 0.02  # relative change of 1 - lambda below which one mode is left
SLOW = 0.7  # factor above which blocks are doubled, that oscillations decay in them
LONGEST = 64  # of a block, in units of the first
PATIENCE = 3  # blocks before the first extrapolation
MOST_BLOCKS = 2000
MOMENTS = (0.31, 1.27, 3.9, 17.3)  # at which drift and noise must be the same, in units of the inverse rate


def stationary_window(process: Process, turns: Turns, box: tuple[tuple[float, float], ...] | None) -> Window:
    """Return the window without end, its box where inflated pilot paths stay.

    Arguments:
        process: The process.
        turns: Ends of one turn of each component that closes on itself, None of the others.
        box: Lower and upper end of each component, found when None.

    Raises:
        ValueError: If drift or noise depend on time.
        NumericalError: If the paths do not stay anywhere.
    """
    window = survey(process, 0.0, turns).window(0, 0, box)
    check_steady(process, window)
    duration = FIRST_DURATION / (window.rate or 1.0)
    for _ in range(DOUBLINGS):
        found = survey(process, duration, turns)
        middle, quarter = (int(np.searchsorted(found.times, part * duration)) for part in (0.5, 0.25))
        earlier = found.window(quarter, middle, None)
        window = found.window(middle, len(found.times) - 1, None)
        if box is not None or has_settled(earlier, window):
            ends = box or tuple(zip(window.lower, window.upper, strict=True))
            lower, upper = (tuple(end[i] for end in ends) for i in (0, 1))
            return dataclasses.replace(window, start=math.inf, end=math.inf, lower=lower, upper=upper)
        duration *= 2
    raise NumericalError(
        f"Pilot paths of {process!r} have not settled at time {duration / 2:g}; if there is a stationary law, give a "
        "`box`, or `periods` for what goes around."
    )


def has_settled(earlier: Window, later: Window) -> bool:
    """Return whether ranges neither grow nor move; those of a turn do not."""
    old, new = (np.array([window.lower, window.upper]) for window in (earlier, later))
    widths = new[1] - new[0]
    grown = widths / (old[1] - old[0])
    moved = np.abs(new.mean(0) - old.mean(0)) / widths
    return bool((grown < GROWTH).all() and (grown > 1 / GROWTH).all() and (moved < SHIFT).all())


def check_steady(process: Process, window: Window) -> None:
    """Refuse drift or noise that is another at another time."""
    states = process.sample_initial(64, torch.Generator().manual_seed(0)).double()
    first = process.drift(states, torch.zeros((), dtype=torch.float64))
    for moment in MOMENTS:
        time = moment / (window.rate or 1.0)
        same = torch.equal(process.drift(states, torch.tensor(time, dtype=torch.float64)), first)
        if not same or not np.array_equal(covariance_rate(process, time), covariance_rate(process, 0.0)):
            raise ValueError(
                f"`times` may be infinite for a process whose drift and noise do not depend on time; {process!r} has a "
                "drift or noise that does."
            )


def stationary_step(process: Process, window: Window, resolution: Resolution) -> tuple[float, int]:
    """Return the time step and the number of steps in a block, which takes the fastest of the inverse rates."""
    spread = np.diag(covariance_rate(process, 0.0)) / np.square(np.subtract(window.upper, window.lower))
    duration = 1 / max(window.rate, float(spread.max()))
    steps = resolution.steps(duration, window)
    return duration / steps, steps


def settled(
    process: Process,
    window: Window,
    resolution: Resolution,
    before: LogDensityTable | None,
    progress: Callable[[float], None] | None = None,
) -> tuple[Cells, Array]:
    """Return the grid and the stationary probability of its cells.

    Arguments:
        process: The process.
        window: The window without end.
        resolution: Cells and step.
        before: The stationary density with half the cells along each axis, if known.
        progress: Called with 1 at the end.

    Raises:
        NumericalError: If the density does not settle.
    """
    cells = window.cells(resolution.counts)
    mass = np.full(cells.counts, 1 / math.prod(cells.counts)) if before is None else halved(before)
    step, steps = stationary_step(process, window, resolution)
    propagator = Propagator(process, cells, steady=True)
    last, factor, since, patience, longest = 1.0, 1.0, 0, PATIENCE, LONGEST * steps
    for _ in range(MOST_BLOCKS):
        *_, moved = propagator.advance(mass, 0.0, steps * step, steps)
        difference = moved - mass
        distance, old = float(np.abs(difference).sum()), factor
        factor = distance / last if since else 1.0
        last, since = distance, since + 1
        if distance < 1e-3 * SETTLED or (factor < 1 and distance * factor / (1 - factor) < SETTLED):
            if progress is not None:
                progress(1.0)
            return cells, moved
        if not math.isfinite(distance):
            break
        if since > patience and factor < 1 and abs(factor - old) < STEADY * (1 - factor):
            moved = moved + farthest(moved, difference, factor / (1 - factor)) * difference
            since, patience = 0, 2 * patience  # if another mode was taken for it, it has more time to decay
        elif since > 1 and factor > SLOW and steps < longest:
            since, steps = 0, 2 * steps
        mass = moved
    raise NumericalError(
        f"The density of {process!r} does not settle: {last:.1e} of the probability still moves in a time "
        f"{steps * step:g}."
    )


def halved(table: LogDensityTable) -> Array:
    """Return the probability of a table's cells cut in two along each axis."""
    mass: Array = np.exp(table.logarithm.astype(np.float64)) * table.cells.volume
    for axis in range(mass.ndim):
        mass = np.repeat(mass, 2, axis) / 2
    return mass


def farthest(mass: Array, direction: Array, wanted: float) -> float:
    """Return how far one may go along a direction, so that no cell loses more than half of its probability."""
    losing = direction < 0
    limit = float(np.min(mass[losing] / -direction[losing], initial=np.inf))
    return min(wanted, 0.5 * limit)
