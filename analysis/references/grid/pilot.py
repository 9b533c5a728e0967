r"""Where the density lives and how fast it moves, from a few thousand paths.

The box of a time window is the range of pilot paths whose noise and initial spread are inflated by a factor
:math:`c`. By the small-noise scaling of large deviations a set that an inflated path reaches with probability
:math:`q` is reached by a true one with about :math:`q^{c^2}`; the extremes of :math:`N` paths, :math:`q = 1/N`, so
bound the density to :math:`N^{-c^2}`, 4e-11 for 2048 paths and :math:`c = 1.77`, whatever the drift does to the tails.
A box that is too close leaves a step in the density where the next one begins, steeper on finer grids.

A step is half of its noise, the drift alone, and the other half of the same noise; of a linear drift that relaxes at
the rate :math:`k` the variance comes out as :math:`\tfrac{k \Delta t}{2} \coth \tfrac{k \Delta t}{2}` of the true
one, 1 / 50 too large at the largest step allowed.

Windows end where the range has grown, shrunk or moved so much that a common box would waste half its volume.

Source: Freidlin and Wentzell, Random Perturbations of Dynamical Systems (1984), for the scaling; its use is derived.
"""

import dataclasses

import numpy as np
import torch
from torch import Tensor

from analysis.references.grid.cells import Array, Cells
from physcore.errors import NumericalError
from physcore.process import Process

__all__ = ["SEED", "Survey", "Turns", "Window", "initial_paths", "is_steady", "survey"]

PATHS = 2048
SEED = 20240707
INFLATION = {1: 2.1, 2: 1.85, 3: 1.77}  # by dimension, what it can afford
STIFFNESS = 0.5  # largest rate times step of a pilot step
RECORDS = {1: 256, 2: 32, 3: 256}  # fewest steps of a pilot, by dimension; in two the grid costs no more than it
RECORDS_IN_TIME = 256  # the same where drift or noise depend on time
ASKED = 48  # times at which they are asked whether they do
MOST_STEPS = 200_000
GOLDEN = (np.sqrt(5) - 1) / 2
GROWTH = 0.3  # largest relative growth of a variance in a pilot step
WASTE = {1: 1.3, 2: 1.6, 3: 1.5}  # largest volume of a window's box over its smallest range, by dimension
MARGIN = 0.06  # of the range, added on each side


Turns = tuple[tuple[float, float] | None, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Window:
    """A stretch of time with one box.

    Arguments:
        start: Start of the window.
        end: End of the window.
        lower: Lower corner of the box.
        upper: Upper corner of the box.
        rate: Root mean square rate of the drift's Jacobian, 1 / time.
        periodic: Whether each component closes on itself; none does when empty.
    """

    start: float
    end: float
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    rate: float
    periodic: tuple[bool, ...] = ()

    def cells(self, counts: tuple[int, ...]) -> Cells:
        """Return the box cut into cells."""
        return Cells(lower=self.lower, upper=self.upper, counts=counts, periodic=self.periodic)


@dataclasses.dataclass(frozen=True)
class Survey:
    """Records of pilot paths.

    Arguments:
        times: Times of the records, shape ``(record,)``.
        lower: Smallest coordinates, shape ``(record, component)``.
        upper: Largest coordinates, shape ``(record, component)``.
        rates: Root mean square rates, shape ``(record,)``.
        periodic: Whether each component closes on itself; its range is then the same at all times.
    """

    times: Array
    lower: Array
    upper: Array
    rates: Array
    periodic: tuple[bool, ...]

    def windows(self, box: tuple[tuple[float, float], ...] | None = None) -> list[Window]:
        """Return windows of time with their boxes, joined end to end.

        Arguments:
            box: One box for all times, lower and upper end of each component; found when None.
        """
        found = []
        volumes = np.prod(self.upper - self.lower, axis=-1)
        waste = WASTE[self.lower.shape[-1]]
        first, last_record = 0, len(self.times) - 1
        if last_record == 0:
            return [self.window(0, 0, box)]
        while first < last_record:
            last = first + 1
            while last < last_record and (
                box is not None or self.volume(first, last + 1) <= waste * volumes[first : last + 2].min()
            ):
                last += 1
            found.append(self.window(first, last, box))
            first = last
        return found

    def volume(self, first: int, last: int) -> float:
        """Return the volume of the common range of some records."""
        part = slice(first, last + 1)
        return float(np.prod(self.upper[part].max(0) - self.lower[part].min(0)))

    def window(self, first: int, last: int, box: tuple[tuple[float, float], ...] | None) -> Window:
        """Return the window of some records."""
        part = slice(first, last + 1)
        lower, upper = self.lower[part].min(0), self.upper[part].max(0)
        pad = np.where(self.periodic, 0.0, MARGIN) * (upper - lower)
        ends = box or tuple(zip((lower - pad).tolist(), (upper + pad).tolist(), strict=True))
        return Window(
            start=float(self.times[first]),
            end=float(self.times[last]),
            lower=tuple(low for low, _ in ends),
            upper=tuple(high for _, high in ends),
            rate=float(np.sqrt(np.mean(np.square(self.rates[part])))),
            periodic=self.periodic,
        )


def initial_paths(process: Process, generator: torch.Generator) -> Tensor:
    """Return initial states, true ones and those of inflated spread, shape ``(2, path, component)``."""
    true = process.sample_initial(PATHS, generator).double()
    centre = true.mean(0)
    return torch.stack([true, centre + INFLATION[process.dimension] * (true - centre)])


def survey(process: Process, duration: float, turns: Turns | None = None) -> Survey:
    """Follow pilot paths, true ones for the rates and inflated ones for the range.

    Arguments:
        process: The process.
        duration: Time to follow.
        turns: Ends of one turn of each component that closes on itself, None of the others.

    Returns:
        The records.

    Raises:
        NumericalError: If paths leave the finite numbers or need too many steps; the time is named.
    """
    generator = torch.Generator().manual_seed(SEED)
    paths = initial_paths(process, generator)
    scale = torch.tensor([1.0, INFLATION[process.dimension]], dtype=torch.float64)[:, None, None]
    steady = is_steady(process, paths[1, :ASKED], duration * np.modf((np.arange(ASKED) + 0.5) * GOLDEN)[0])
    longest = duration / (RECORDS[process.dimension] if steady else RECORDS_IN_TIME)
    times, lower, upper, rates = [], [], [], []
    time = 0.0
    while True:
        moment = torch.tensor(time, dtype=torch.float64)
        each = process.jacobian(paths, moment).double().square().sum((-2, -1)).sqrt()
        noise = process.noise(moment).double()
        times.append(time)
        spread = paths.reshape(-1, process.dimension)
        lower.append(spread.min(0).values)
        upper.append(spread.max(0).values)
        rates.append(float(each[0].square().mean().sqrt()))
        if time >= duration:
            break
        stiffest = float(each.max())
        if not np.isfinite(stiffest) or not bool(torch.isfinite(paths).all()) or len(times) > MOST_STEPS:
            raise NumericalError(f"Pilot paths of {process!r} leave the finite numbers at time {time:g}.")
        step = min(longest, STIFFNESS / stiffest if stiffest > 0 else duration, growth_time(paths[0], noise))
        step = duration - time if duration - time < 1.000001 * step else step
        normals = torch.randn(PATHS, noise.shape[-1], generator=generator).double()
        half = 0.5 * np.sqrt(step) * scale * (normals @ noise.mT)
        paths = drifted(process, paths + half, time, step) + half
        time = duration if time + step >= duration else time + step
    found = Survey(
        np.array(times),
        torch.stack(lower).numpy(),
        torch.stack(upper).numpy(),
        np.array(rates),
        tuple(turn is not None for turn in turns or (None,) * process.dimension),
    )
    for axis, turn in enumerate(turns or ()):
        if turn is not None:
            found.lower[:, axis], found.upper[:, axis] = turn
    return found


def is_steady(process: Process, states: Tensor, times: Array) -> bool:
    """Return whether drift and noise are the same, to the last bit, at some times.

    Arguments:
        process: The process.
        states: States at which the drift is asked, shape ``(..., component)``, float64.
        times: The times, shape ``(time,)``.
    """
    moments = [torch.tensor(time) for time in times]
    drift, noise = process.drift(states, moments[0]), process.noise(moments[0])
    return all(
        torch.equal(process.drift(states, moment), drift) and torch.equal(process.noise(moment), noise)
        for moment in moments[1:]
    )


def growth_time(state: Tensor, noise: Tensor) -> float:
    """Return the time in which noise adds ``GROWTH`` of the variance that a component has; infinite without noise."""
    rate = noise.square().sum(-1)
    return float(torch.where(rate > 0, GROWTH * state.var(0) / rate, torch.inf).min())


def drifted(process: Process, state: Tensor, time: float, step: float) -> Tensor:
    """Return states moved by the drift alone, Runge and Kutta's fourth-order step."""
    start, middle, end = (torch.tensor(time + part * step, dtype=torch.float64) for part in (0.0, 0.5, 1.0))
    first = process.drift(state, start)
    second = process.drift(state + step / 2 * first, middle)
    third = process.drift(state + step / 2 * second, middle)
    fourth = process.drift(state + step * third, end)
    return state + step / 6 * (first + 2 * second + 2 * third + fourth)
