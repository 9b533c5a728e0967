"""Lags read from a table."""

import dataclasses
import math
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from physcore.score.lags.schedule import LagSchedule

__all__ = ["TabulatedLag"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TabulatedLag(LagSchedule):
    """Lags at some times, linear between them and constant beyond; what schedules become once they are fitted.

    Arguments:
        times: Times, increasing, [time].
        lags: Lag at each of them, [time]. No lag may grow faster than time passes: a later target would start earlier.
        predicted_bias: Expected relative error of the score at each time; empty where it is not known.

    Raises:
        ValueError: If the table is empty, ragged, not finite, not increasing in time or not monotone in the start.
    """

    times: tuple[float, ...]
    lags: tuple[float, ...]
    predicted_bias: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("times", "lags", "predicted_bias"):
            values = tuple(map(float, getattr(self, name)))
            object.__setattr__(self, name, values)
            if len(values) != len(self.times) and (values or name != "predicted_bias"):
                raise ValueError(f"`{name}` must have an entry for each of {len(self.times)} times; got {len(values)}.")
            if not all(map(math.isfinite, values)):
                raise ValueError(f"`{name}` must be finite; got {values}.")
        if not self.times or any(later <= earlier for earlier, later in pairwise(self.times)):
            raise ValueError(f"`times` must increase; got {self.times}.")
        if min(self.lags) < 0:
            raise ValueError(f"`lags` must not be negative; got {self.lags}.")
        starts = [time - lag for time, lag in zip(self.times, self.lags, strict=True)]
        slack = 1e-9 * (1 + max(map(abs, self.times)))
        if any(later < earlier - slack for earlier, later in pairwise(starts)):
            raise ValueError(f"`lags` must not grow faster than `times`; got {self.lags} at {self.times}.")

    def lag(self, time: Tensor) -> Tensor:
        """Return the lag for every time; see ``LagSchedule.lag``."""
        return self._interpolated(time, self.lags)

    def bias(self, time: Tensor) -> Tensor | None:
        """Return the tabulated error; see ``LagSchedule.bias``."""
        return self._interpolated(time, self.predicted_bias) if self.predicted_bias else None

    def _interpolated(self, time: Tensor, values: tuple[float, ...]) -> Tensor:
        at = np.interp(time.double().cpu().numpy(), self.times, values)
        return torch.as_tensor(at).to(time)
