r"""Samples that a learned score makes: states of the last time run backwards by the reverse-time process.

They are carried from each wanted time to the one before by a scheme of the registry. Paths are divided in fixed
blocks that the ranks share, and their noise is a function of (seed, stage, path, step).

Before the first time at which a score is trained it is drawn out towards the initial law's, which is known:

.. math:: s(x, t) = \left(1 - t / t_1\right) \nabla \log q_0(x) + (t / t_1)\,s_\theta(x, t_1), \qquad 0 \le t < t_1 .

Source: Anderson, Reverse-time diffusion equation models (1982); the drawing out is derived.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from analysis.comparison import Reversal
from physcore.communicator import Communicator, SerialCommunicator
from physcore.errors import NumericalError
from physcore.process import Process
from physcore.registry import build
from physcore.reverse.reversed_process import ReversedProcess
from physcore.score.model import ScoreModel
from physcore.score.score_function import ScoreFunction
from physcore.stepping import Stepping, stepper_for
from physcore.streams import Streams
from physcore.trajectory import trajectory_dataset

__all__ = ["FromInitialLaw", "reversed_states"]

STEPS = 250
PATHS_PER_BLOCK = 1024


@dataclasses.dataclass(frozen=True)
class FromInitialLaw:
    """A learned score, drawn out to the initial law's before its first trained time.

    Arguments:
        trained: The learned score.
    """

    trained: ScoreModel

    def score(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the score; see ``ScoreFunction.score``."""
        first, moment = self.trained.time_range[0], float(time)
        if moment >= first or first <= 0:
            return self.trained.score(state, time)
        share = max(0.0, moment) / first
        with torch.enable_grad():
            watched = state.detach().double().requires_grad_()
            density = self.trained.process.initial_log_density(watched).sum()
            initial = torch.autograd.grad(density, watched)[0].to(state)
        return (1 - share) * initial + share * self.trained.score(state, torch.as_tensor(first))


def reversed_states(
    process: Process,
    score: ScoreFunction,
    final: Tensor,
    times: Sequence[float],
    reversal: Reversal,
    *,
    seed: int,
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
        device: Where the steps are computed.
        communicator: Ranks that share the blocks of paths; serial when None. Every rank returns the same Dataset.

    Returns:
        Trajectories with dimensions ``path`` and ``time``, in forward time.

    Raises:
        ValueError: If a setting or the score does not serve.
        NumericalError: If a state is not finite; the time is named.
    """
    communicator = communicator or SerialCommunicator()
    moments = np.asarray(times, dtype=np.float64)
    if moments.ndim != 1 or len(moments) < 2 or np.any(np.diff(moments) <= 0):
        raise ValueError(f"`times` must be two or more increasing times; got {times}.")
    device, backwards = torch.device(device), moments[::-1]
    largest = reversal.dt or (backwards[0] - backwards[-1]) / STEPS
    starts = range(0, reversal.paths, PATHS_PER_BLOCK)
    mine = {}
    for block in communicator.share(len(starts)):
        paths = torch.arange(starts[block], min(starts[block] + PATHS_PER_BLOCK, reversal.paths))
        states = [final[paths % len(final)].to(device).T.contiguous().float()]
        for k in range(len(backwards) - 1):
            leg = _Leg(process, score, final, (float(backwards[k]), float(backwards[k + 1])), largest, reversal.scheme)
            states.append(leg.carried(states[-1], int(paths[0]), Streams(seed, f"reversal/{k}")))
        mine[block] = torch.stack(states, 1).cpu().numpy()
    together = {block: states for part in communicator.gather(mine) for block, states in part.items()}
    carried = np.concatenate([together[block] for block in range(len(starts))], -1)
    return trajectory_dataset(process, carried[:, ::-1], moments, np.arange(reversal.paths), {})


@dataclasses.dataclass(frozen=True)
class _Leg:
    """The way from one time back to the one before, in equal steps."""

    process: Process
    score: ScoreFunction
    final: Tensor
    span: tuple[float, float]
    largest: float
    scheme: str

    def carried(self, start: Tensor, first_path: int, streams: Streams) -> Tensor:
        """Return states of shape ``(component, path)`` at the end of the leg."""
        begin, end = self.span
        steps = max(1, math.ceil((begin - end) / self.largest - 1e-9))
        dt = (begin - end) / steps
        reverse = ReversedProcess(process=self.process, score=self.score, end=begin, final=self.final)
        scheme = build("physcore.schemes", self.scheme, {})
        scheme.check(reverse, dt)
        stepping = Stepping(
            step=lambda state, time, normals: scheme.step(reverse, state, time, dt, normals),
            components=self.process.dimension,
            normals=scheme.normals(reverse),
            dt=dt,
            start=0.0,
            dtype=torch.float32,
            three_point=False,
            streams=streams,
            device=start.device,
        )
        frames = start.new_empty(len(start), 1, start.shape[1])
        with torch.no_grad():
            failures = stepper_for(stepping, start).advance(start, frames, np.array([steps]), first_path, 0)
        if failures:
            raise NumericalError(f"reversed paths are not finite at time {end:g}; try a smaller `reversal.dt`.")
        return frames[:, 0].contiguous()
