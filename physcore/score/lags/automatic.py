r"""Lags chosen where the kernel's error and the noise of the targets balance.

.. math:: h(t) = \arg\min_h\; b^2(h, t) + \frac{v(h, t)}{N}

A longer lag has quieter targets, of relative variance :math:`v`, and a larger relative error :math:`b` of the kernel.
Both are measured on simulated states (see ``kernel_error``), after a few of the frames and over a ladder of lags.
:math:`N` is the number of targets that a fit averages in effect for each value of the score.
"""

import dataclasses
import math
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from physcore.score.kernels import Kernel
from physcore.score.lags.growth import Reals, longest_lags, shortened, steady
from physcore.score.lags.kernel_error import kernel_errors
from physcore.score.lags.schedule import LagSchedule, Pilot
from physcore.score.lags.tabulated import TabulatedLag

__all__ = ["AutomaticLag"]

STARTS, STATES, LAGS, ENTRIES = 8, 8192, 12, 24
BROKEN = 0.5**2  # squared relative error of a kernel that no longer serves; longer lags are not tried
UNUSABLE = 1.0  # as wrong as no score at all


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutomaticLag(LagSchedule):
    r"""Lags measured for the process and the kernel of the objective, on some of the trajectories.

    Near the first frame the lag is all the time since then, so that scores are learned from the second frame on.

    Arguments:
        effective_samples: How many targets :math:`N` are averaged, in effect, for a value of the score. More of them
            ask for shorter lags, but weakly, so that a guess will do. The default is what 20,000 steps of 1,024
            antithetic pairs come to in two dimensions.
        longest: Longest lag, [time]; half the duration of the trajectories when None.
        growth: How often, in powers of e, small deviations may grow within a lag; see ``longest_lags``.

    Raises:
        ValueError: If a number is not positive and finite.

    Error:
        See ``kernel_errors``. Lags are found on a ladder of twelve between the time of a frame and the longest.

    Source: derived.
    """

    known: ClassVar[bool] = False

    effective_samples: float = 30_000.0
    longest: float | None = None
    growth: float = 1.0

    def __post_init__(self) -> None:
        for name in ("effective_samples", "longest", "growth"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ValueError(f"`{name}` must be positive and finite; got {value}.")

    def lag(self, time: Tensor) -> Tensor:
        """Refuse: nothing is measured before the schedule is fitted; see ``LagSchedule.lag``."""
        raise ValueError(
            "`AutomaticLag` knows its lags once it is fitted to trajectories: use `schedule.fitted(pilot, kernel)`."
        )

    def fitted(self, pilot: Pilot, kernel: Kernel | None) -> TabulatedLag:
        """Return the lags that serve best, and the error to expect with them; see ``LagSchedule.fitted``."""
        if kernel is None:
            raise ValueError("the lag automatic judges the kernel of an objective, and this objective has none.")
        frames = pilot.times.double().cpu().numpy()
        if len(frames) < 3:
            raise ValueError(f"the lag automatic needs three frames or more; got {len(frames)}.")
        longest = (frames[-1] - frames[0]) / 2 if self.longest is None else min(self.longest, frames[-1] - frames[0])
        shortest = min(float(np.median(np.diff(frames))), longest / 2)
        limit = longest_lags(pilot, kernel, self.growth)
        measured = _Measurement(pilot, kernel, np.geomspace(shortest, longest, LAGS), limit)
        # Closer together towards the start, where the law changes most.
        times = frames[0] + (frames[-1] - frames[0]) * np.linspace(0, 1, ENTRIES) ** 2
        wanted = np.minimum(measured.best_lags(times, self.effective_samples), times - frames[0])
        # Rounded down, so that neither another processor's rounding nor ours takes a start before the first frame.
        rounded = map(_rounded_down, shortened(times, wanted, limit))
        lags = steady(times, np.array(list(rounded)))
        bias = [float(f"{each:.2g}") for each in measured.bias(times, lags)]
        return TabulatedLag(times=tuple(times.tolist()), lags=tuple(lags.tolist()), predicted_bias=tuple(bias))


class _Measurement:
    """Errors and noise over a ladder of lags after some of the frames.

    Attributes:
        starts: Times of these frames.
        ladder: The lags.
        biases: Squared relative errors of the score, shape ``(start, lag)``, not decreasing with the lag.
        noises: Relative variances of a target, shape ``(start, lag)``.
    """

    def __init__(self, pilot: Pilot, kernel: Kernel, ladder: Reals, limit: tuple[Reals, Reals]) -> None:
        self.ladder = ladder
        transitions = kernel.of(pilot.process)
        frames = pilot.times.double().cpu().numpy()
        chosen = np.unique(np.round((len(frames) - 2) * np.linspace(0, 1, STARTS) ** 2).astype(int))
        self.starts = frames[chosen]
        self.biases = np.full((len(chosen), LAGS), UNUSABLE)
        self.noises = np.zeros((len(chosen), LAGS))
        for place, frame in enumerate(chosen):
            state = pilot.states[frame, :STATES].double().cpu()
            generator = torch.Generator().manual_seed(place)
            allowed = ladder[ladder <= np.interp(frames[frame], *limit)].tolist()
            errors = kernel_errors(pilot.process, transitions, state, float(frames[frame]), allowed, generator)
            for step, error in enumerate(errors):
                bias = float(error.bias.mean())
                if not bias < BROKEN:
                    break
                self.biases[place, step] = bias
                self.noises[place, step] = float(error.noise.mean())
        self.biases = np.maximum.accumulate(self.biases, axis=1)

    def best_lags(self, times: Reals, effective_samples: float) -> Reals:
        """Return the lag of the ladder with the least total at each time, the shortest where none serves."""
        total = self._at(times, np.log(self.biases + self.noises / effective_samples + 1e-30))
        return np.asarray(self.ladder[total.argmin(1)], dtype=np.float64)

    def bias(self, times: Reals, lags: Reals) -> Reals:
        """Return the relative errors to expect with a lag at each time."""
        table = np.sqrt(self._at(times, self.biases))
        return np.array([np.interp(h, [0.0, *self.ladder], [0.0, *row]) for h, row in zip(lags, table, strict=True)])

    def _at(self, times: Reals, values: Reals) -> Reals:
        """Return values at times, shape ``(time, lag)``, from those of the starts a lag before."""
        columns = [np.interp(times - lag, self.starts, values[:, k]) for k, lag in enumerate(self.ladder)]
        return np.stack(columns, 1)


def _rounded_down(value: float) -> float:
    """Return a number's first three digits."""
    if value <= 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return round(math.floor(value / unit + 1e-9) * unit, 12)
