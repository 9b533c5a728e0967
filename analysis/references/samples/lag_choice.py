r"""How well an average of kernels knows the score a lag later, and the lag at which it knows it best.

The error of an average of :math:`N` kernels over a lag has two parts. Its variance is that of the jackknife,

.. math:: \frac{G - 1}{G} \sum_{g = 1}^G |s_{-g} - s|^2,

with :math:`s_{-g}` the score without one of :math:`G` groups of kernels, at states that come from none of them. Its
bias is the kernel's own, measured between the process and the kernel from the same states and with the same noise
(see ``physcore.score.lags.kernel_error``). The variance falls with the lag and the bias grows.

Source: Efron and Stein, The jackknife estimate of variance (1981), in groups; the sum of both is derived.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.references.samples.gaussian_sum import GaussianSum
from physcore.errors import NumericalError
from physcore.process import Process
from physcore.score.kernels import Transitions
from physcore.score.lags.kernel_error import kernel_errors
from physcore.score.transitions import LocalTransition
from physcore.streams import Streams

__all__ = ["Judge", "LagError", "ladder"]

POINTS = 4096  # states at which the variance is taken
GROUPS = 16
TRIED = 32_768  # kernels behind a first look at a lag,
BIAS_STATES = 32_768
STEP = math.sqrt(2)  # between lags


@dataclasses.dataclass(frozen=True)
class LagError:
    """The error of an average of kernels over one lag.

    Arguments:
        start: Time of the states that the kernels start from.
        size: Mean square of each score component, shape ``(component,)``.
        variance: Mean square of what other samples would change of it, likewise.
        bias: Mean square of the kernel's error, likewise.
    """

    start: float
    size: Tensor
    variance: Tensor
    bias: Tensor

    @property
    def total(self) -> float:
        """The mean over components of the relative squared error; no unit enters."""
        return float(((self.variance + self.bias) / self.size).mean())

    def relative(self, components: Sequence[int]) -> float:
        """Return the relative squared error of some components together, 0 where they vanish."""
        chosen = list(components)
        size = float(self.size[chosen].sum())
        return float((self.variance + self.bias)[chosen].sum()) / size if size > 0 else 0.0


def ladder(frames: NDArray[np.float64], time: float) -> list[float]:
    """Return times of frames before a time, the latest first, each lag longer than the one before by a factor.

    Arguments:
        frames: Times of the frames, increasing.
        time: The time.

    Raises:
        ValueError: If no frame lies before it.
    """
    lags = time - frames[frames < time - 1e-9 * max(1.0, abs(time))][::-1]
    if len(lags) == 0:
        raise ValueError(f"`time` must lie after the first frame, {frames[0]:g}; got {time:g}.")
    wanted = np.geomspace(lags[0], lags[-1], 1 + math.ceil(math.log(lags[-1] / lags[0], STEP)))
    nearest = {int(np.argmin(np.abs(lags - lag))) for lag in wanted}
    return [float(frames[len(lags) - 1 - place]) for place in sorted(nearest)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judge:
    """Judges starts for the score at one time.

    Arguments:
        process: The process.
        transitions: Its kernel.
        time: The time.
        states: From a time of a frame to the states there, shape ``(path, component)``.
    """

    process: Process
    transitions: Transitions
    time: float
    states: Callable[[float], Tensor]

    def kernels(self, states: Tensor, start: float) -> LocalTransition:
        """Return the kernels from states at a time to the judge's time."""
        times = torch.full((len(states),), start, dtype=states.dtype)
        return self.transitions(states, times, self.time - times)

    def best(self, starts: Iterable[float]) -> LagError:
        """Return the start with the least error, judged on a part of the states.

        Arguments:
            starts: Starts to choose from, the latest first.

        Raises:
            NumericalError: If the kernel can be computed from none.
        """
        best: LagError | None = None
        bias = torch.zeros(self.process.dimension, dtype=torch.float64)
        points: Tensor | None = None
        for start in starts:
            states = self.states(start)
            try:
                points = self.points(states, start) if points is None else points
                judged = self.error(start, points[: POINTS // 2], most=TRIED)
            except NumericalError:
                if best is None:
                    continue  # noise has not reached every component yet
                break
            bias = torch.maximum(bias, judged.bias / judged.size)  # it grows with the lag, but for its own noise
            judged = dataclasses.replace(judged, bias=bias * judged.size)
            if best is None or judged.total < best.total:
                best = judged
            elif float(bias.mean()) > best.total:
                break
        if best is None:
            raise NumericalError(f"no lag before time {self.time:g} has a kernel; give a `lag` or another `kernel`.")
        return best

    def points(self, states: Tensor, start: float) -> Tensor:
        """Return states at the judge's time, drawn with the kernels of paths that are kept for it."""
        chosen = states[: held_out(len(states))]
        kernels = self.kernels(chosen.repeat(-(-POINTS // len(chosen)), 1), start)
        generator = Streams(0, "references/transition-mixture").generator()
        return kernels.state(torch.randn(kernels.mean.shape, generator=generator, dtype=states.dtype))

    def error(self, start: float, points: Tensor, most: int | None = None) -> LagError:
        """Return the error with which a start gives the score.

        Arguments:
            start: Time of a frame.
            points: States to judge at, shape ``(point, component)``.
            most: Kernels to judge by, the variance then scaled to what all would have; all when None.

        Raises:
            ValueError: If there are fewer kernels than groups of them.
            NumericalError: If the kernel cannot be computed.
        """
        states = self.states(start)
        skipped = held_out(len(states))
        chosen = states[skipped:][:most]
        if len(chosen) < GROUPS:
            raise ValueError(
                f"the error over a lag is judged by {GROUPS * 4 // 3 + 1} paths or more; got {len(states)}."
            )
        kernels = self.kernels(chosen, start)
        score, variance = jackknifed(kernels, points)
        variance *= len(chosen) / len(states)
        size = (score.square().mean(0) - variance).clamp(min=torch.finfo(score.dtype).tiny)
        generator = Streams(0, "references/kernel-error").generator()
        # Few states take part several times, each time with other noise.
        at = states[skipped:].repeat(-(-BIAS_STATES // (len(states) - skipped)), 1)[:BIAS_STATES]
        found = list(kernel_errors(self.process, self.transitions, at, start, [self.time - start], generator))
        if not found:
            raise NumericalError(f"the kernel from time {start:g} to {self.time:g} cannot be followed.")
        return LagError(start, size, variance, found[0].bias * size)


def jackknifed(kernels: LocalTransition, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return the score of an average of kernels and the variance of its components, a mean over the points.

    Arguments:
        kernels: The kernels.
        points: Points that do not depend on them, shape ``(point, component)``.
    """
    factor = kernels.factor.expand(-1, -1, kernels.mean.shape[-1])
    parts = [GaussianSum(kernels.mean.T[k::GROUPS], factor[..., k::GROUPS]).evaluate(points) for k in range(GROUPS)]
    density, score = (torch.stack(each) for each in zip(*parts, strict=True))
    together = _averaged(density, score)
    others = [[k for k in range(GROUPS) if k != left_out] for left_out in range(GROUPS)]
    changes = torch.stack([_averaged(density[rest], score[rest]) - together for rest in others])
    return together, (GROUPS - 1) / GROUPS * changes.square().sum(0).mean(0)


def _averaged(density: Tensor, score: Tensor) -> Tensor:
    """Return the score of an average of laws with these log densities and scores."""
    return (torch.softmax(density, 0).unsqueeze(-1) * score).sum(0)


def held_out(paths: int) -> int:
    """Return how many paths the points come from, some points from each where they are fewer than the points."""
    return min(POINTS, max(1, paths // 4))
