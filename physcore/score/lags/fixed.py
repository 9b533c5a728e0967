"""The same lag at all times."""

import dataclasses
import math

import torch
from torch import Tensor

from physcore.score.lags.schedule import LagSchedule

__all__ = ["FixedLag"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FixedLag(LagSchedule):
    """The same lag at all times.

    Arguments:
        gap: The lag, [time].

    Raises:
        ValueError: If it is negative or not finite.
    """

    gap: float

    def __post_init__(self) -> None:
        if not (self.gap >= 0 and math.isfinite(self.gap)):
            raise ValueError(f"`gap` must be finite and not negative; got {self.gap}.")

    def lag(self, time: Tensor) -> Tensor:
        """Return the lag for every time; see ``LagSchedule.lag``."""
        return torch.full_like(time, self.gap)
