r"""Lags that are equal by the clock of the process.

.. math:: B(t) - B(t - h(t)) = \lambda

Where drift and noise are separable in time, :math:`f = B'(t)\,b(x)` and :math:`Q = B'(t)\,q`, the kernel's error over a
lag depends on the clock alone.
"""

import dataclasses
import math
from typing import ClassVar

import numpy as np
import torch

from physcore.process import Process
from physcore.score.kernels import Kernel
from physcore.score.lags.growth import longest_lags, shortened
from physcore.score.lags.schedule import LagSchedule, Pilot
from physcore.score.lags.tabulated import TabulatedLag

__all__ = ["ClockLag"]

READINGS, ENTRIES = 4097, 129


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClockLag(LagSchedule):
    r"""Lags over which the clock of the process advances by the same amount, and never beyond the first frame.

    Arguments:
        gap: Advance :math:`\lambda` of the clock.
        growth: How often, in powers of e, small deviations may grow within a lag; see ``longest_lags``.

    Raises:
        ValueError: If a number is not positive and finite.

    Error:
        The inverse of the clock is interpolated in 4,096 parts of the trajectories and tabulated at 129 times: 0.3 % of
        a lag where the rate grows a hundredfold.

    Source: derived; one of the schedules that suit Singhal, Goldstein and Ranganath, What's the score? Automated
        denoising score matching for nonlinear diffusions (2024).
    """

    known: ClassVar[bool] = False

    gap: float
    growth: float = 1.0

    def __post_init__(self) -> None:
        for name in ("gap", "growth"):
            if not (getattr(self, name) > 0 and math.isfinite(getattr(self, name))):
                raise ValueError(f"`{name}` must be positive and finite; got {getattr(self, name)}.")

    def lag(self, time: torch.Tensor) -> torch.Tensor:
        """Refuse: the clock is not known before the schedule is fitted; see ``LagSchedule.lag``."""
        raise ValueError(
            "`ClockLag` knows its lags once it is fitted to a process: use `schedule.fitted(pilot, None)`."
        )

    def check(self, process: Process) -> None:
        """Refuse a process without a clock; see ``LagSchedule.check``."""
        _readings(process, torch.zeros(1, dtype=torch.float64))

    def fitted(self, pilot: Pilot, kernel: Kernel | None) -> TabulatedLag:
        """Return the lags of a process; see ``LagSchedule.fitted``."""
        times = pilot.times.double().cpu()
        dense = torch.linspace(float(times[0]), float(times[-1]), READINGS, dtype=torch.float64)
        readings, moments = _readings(pilot.process, dense).double().numpy(), dense.numpy()
        if not (np.diff(readings) > 0).all():
            raise ValueError(f"the clock of {type(pilot.process).__name__} must increase.")
        # Where the first frame stops being the start, the lag has a kink.
        kink = np.interp(readings[0] + self.gap, readings, moments)
        at = np.union1d(np.linspace(moments[0], moments[-1], ENTRIES), kink)
        start = np.interp(np.interp(at, moments, readings) - self.gap, readings, moments)
        lags = shortened(at, at - start, longest_lags(pilot, kernel, self.growth))
        return TabulatedLag(times=tuple(at.tolist()), lags=tuple(lags.tolist()))


def _readings(process: Process, time: torch.Tensor) -> torch.Tensor:
    clock = process.clock(time)
    if clock is None:
        raise ValueError(
            f"{type(process).__name__} has no clock: its drift and noise are not known to be separable in time. Use "
            "the lag fixed or automatic."
        )
    return clock
