r"""Samples that a score makes: states of the last time run backwards by the reverse-time process.

They are carried from each wanted time to the one before by a scheme of the registry. Paths are divided in fixed
blocks that the ranks share, and their noise is a function of (seed, stage, path, step).

Before the first time :math:`t_1` at which a score is known it is drawn out towards the initial law's, which is known:

.. math:: s(x, t) = \left(1 - t / t_1\right) \nabla \log q_0(x) + (t / t_1)\,s_\theta(x, t_1), \qquad 0 \le t < t_1 .

Where an early law changes fast the steps are shorter: 64 for each halving of the time since the start. What runs away,
as it does where a learned score is wrong in the tails, is held at the walls of a box around the simulated states, and
counted.

Source: Anderson, Reverse-time diffusion equation models (1982); the drawing out is derived.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from analysis.comparison import Reversal
from physcore.communicator import Communicator, SerialCommunicator
from physcore.errors import NumericalError
from physcore.process import Process
from physcore.registry import build
from physcore.reverse.reversed_process import ReversedProcess
from physcore.score.score_function import ScoreFunction
from physcore.stepping import Stepping, stepper_for
from physcore.streams import Streams
from physcore.trajectory import trajectory_dataset

__all__ = ["FromInitialLaw", "reversed_states"]

STEPS = 250
STEPS_PER_HALVING = 64
PATHS_PER_BLOCK = 1024

Walls = tuple[Tensor, Tensor]


@dataclasses.dataclass(frozen=True)
class FromInitialLaw:
    """A score, drawn out to the initial law's before the first time at which it is known.

    Arguments:
        known: The score.
        process: The process.
        first: The first time at which it is known.
    """

    known: ScoreFunction
    process: Process
    first: float

    def score(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the score; see ``ScoreFunction.score``."""
        moment = float(time)
        if moment >= self.first or self.first <= 0:
            return self.known.score(state, time)
        share = max(0.0, moment) / self.first
        with torch.enable_grad():
            watched = state.detach().double().requires_grad_()
            density = self.process.initial_log_density(watched).sum()
            initial = torch.autograd.grad(density, watched)[0].to(state)
        return (1 - share) * initial + share * self.known.score(state, torch.as_tensor(self.first))


def reversed_states(
    process: Process,
    score: ScoreFunction,
    final: Tensor,
    times: Sequence[float],
    reversal: Reversal,
    *,
    seed: int,
    start: float = 0.0,
    walls: Walls | None = None,
    device: torch.device | str = "cpu",
    communicator: Communicator | None = None,
) -> xr.Dataset:
    """Run states backwards by a score.

    Arguments:
        process: The process.
        score: Anything with ``score(state, time)`` that holds the driven components.
        final: States of the last time, shape ``(path, component)``; they are taken in turn, again where they are fewer
            than the reversed paths.
        times: Times to stop at, increasing; the last is that of ``final``.
        reversal: Settings.
        seed: Seed of the noise.
        start: Time at which the process begins, towards which steps become shorter.
        walls: Least and largest value of each component, shapes ``(component,)``, at which states are held; none when
            None.
        device: Where the steps are computed.
        communicator: Ranks that share the blocks of paths; serial when None. Every rank returns the same Dataset.

    Returns:
        Trajectories with dimensions ``path`` and ``time``, in forward time; the attribute ``held`` is the number of
        paths that are at a wall at one of the times.

    Raises:
        ValueError: If a setting or the score does not serve.
        NumericalError: If a state is not finite; the time is named.
    """
    communicator = communicator or SerialCommunicator()
    moments = np.asarray(times, dtype=np.float64)
    if moments.ndim != 1 or len(moments) < 2 or np.any(np.diff(moments) <= 0):
        raise ValueError(f"`times` must be two or more increasing times; got {times}.")
    device = torch.device(device)
    way = _Way(process, score, final, reversal, start, None if walls is None else _columns(walls, device))
    starts = range(0, reversal.paths, PATHS_PER_BLOCK)

    def block_of_states(block: int) -> NDArray[np.float32]:
        paths = torch.arange(starts[block], min(starts[block] + PATHS_PER_BLOCK, reversal.paths))
        states = [final[paths % len(final)].to(device).T.contiguous().float()]
        for later, earlier in itertools.pairwise(moments[::-1].tolist()):
            states.append(way.carried(states[-1], later, earlier, int(paths[0]), seed, float(moments[-1])))
        return torch.stack(states, 1).cpu().numpy()

    carried = np.concatenate(communicator.map(block_of_states, len(starts)), -1)
    held = 0
    if walls is not None:
        low, high = (wall.float().numpy()[:, None, None] for wall in walls)
        held = int(((carried <= low) | (carried >= high)).any((0, 1)).sum())
    return trajectory_dataset(process, carried[:, ::-1], moments, np.arange(reversal.paths), {"held": held})


def _columns(walls: Walls, device: torch.device) -> Walls:
    low, high = (wall.to(device).float() for wall in walls)
    return low, high


@dataclasses.dataclass(frozen=True)
class _Way:
    """The way back in time."""

    process: Process
    score: ScoreFunction
    final: Tensor
    reversal: Reversal
    start: float
    walls: Walls | None

    def carried(self, states: Tensor, later: float, earlier: float, path: int, seed: int, end: float) -> Tensor:
        """Return states of shape ``(component, path)`` carried from a later to an earlier time."""
        largest = self.reversal.dt or (end - self.start) / STEPS
        at = later
        while at > earlier:
            half = self.start + 0.5 * (at - self.start)
            # The last stretch to the start itself is not halved for ever.
            goal = earlier if half <= max(earlier, self.start + largest / STEPS_PER_HALVING) else half
            dt = min(largest, max(at - self.start, largest) / STEPS_PER_HALVING)
            states = self._leg(states, at, goal, dt, path, Streams(seed, f"reversal from {at!r}"))
            at = goal
        return states

    def _leg(self, states: Tensor, begin: float, end: float, largest: float, path: int, streams: Streams) -> Tensor:
        steps = max(1, math.ceil((begin - end) / largest - 1e-9))
        dt = (begin - end) / steps
        reverse = ReversedProcess(process=self.process, score=self.score, end=begin, final=self.final)
        scheme = build("physcore.schemes", self.reversal.scheme, {})
        scheme.check(reverse, dt)

        def step(state: Tensor, time: Tensor, normals: Tensor) -> Tensor:
            moved: Tensor = scheme.step(reverse, state, time, dt, normals)
            return moved if self.walls is None else moved.clamp(*self.walls)

        stepping = Stepping(
            step=step,
            components=self.process.dimension,
            normals=scheme.normals(reverse),
            dt=dt,
            start=0.0,
            dtype=torch.float32,
            three_point=False,
            streams=streams,
            device=states.device,
        )
        frames = states.new_empty(len(states), 1, states.shape[1])
        with torch.no_grad():
            failures = stepper_for(stepping, states).advance(states, frames, np.array([steps]), path, 0)
        if failures:
            raise NumericalError(f"reversed paths are not finite at time {end:g}; try a smaller `reversal.dt`.")
        return frames[:, 0].contiguous()
