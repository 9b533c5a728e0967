"""The same lag at all times."""

import dataclasses
import math
import warnings

import numpy as np
import torch
from torch import Tensor

from physcore.score.kernels import Kernel
from physcore.score.lags.growth import longest_lags, shortened
from physcore.score.lags.schedule import LagSchedule, Pilot
from physcore.score.lags.tabulated import TabulatedLag

__all__ = ["FixedLag"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FixedLag(LagSchedule):
    """The same lag at all times; a fit shortens it, and says so, where the kernel would blow up.

    Arguments:
        gap: The lag, [time].
        growth: How often, in powers of e, small deviations may grow within a lag; see ``longest_lags``.

    Raises:
        ValueError: If the lag is negative or not finite, or the growth not positive and finite.
    """

    gap: float
    growth: float = 1.0

    def __post_init__(self) -> None:
        if not (self.gap >= 0 and math.isfinite(self.gap)):
            raise ValueError(f"`gap` must be finite and not negative; got {self.gap}.")
        if not (self.growth > 0 and math.isfinite(self.growth)):
            raise ValueError(f"`growth` must be positive and finite; got {self.growth}.")

    def lag(self, time: Tensor) -> Tensor:
        """Return the lag for every time; see ``LagSchedule.lag``."""
        return torch.full_like(time, self.gap)

    def fitted(self, pilot: Pilot, kernel: Kernel | None) -> LagSchedule:
        """Return the schedule itself, or what of it keeps within the growth, with a warning."""
        if self.gap == 0:
            return self
        limit = longest_lags(pilot, kernel, self.growth)
        times, longest = limit
        if (longest >= self.gap).all():
            return self
        lags = shortened(times, np.full(len(times), self.gap), limit)
        warnings.warn(
            f"the lag {self.gap:g} was shortened, to {lags.min():.3g} at the least: the linearised drift grows by more "
            f"than e^{self.growth:g} within it. Use a lag of at most {longest.min():.3g}, the lag automatic, or a "
            "larger `growth` of the lag fixed.",
            stacklevel=2,
        )
        return TabulatedLag(times=tuple(times.tolist()), lags=tuple(lags.tolist()))
