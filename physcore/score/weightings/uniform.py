"""The loss measured in the components as they are."""

import dataclasses

from torch import Tensor

from physcore.process import Process
from physcore.score.model import ScoreFrame
from physcore.score.weightings.weighting import Weighting

__all__ = ["Uniform"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Uniform(Weighting):
    """Every component alike, A = 1."""

    def apply(self, process: Process, weighted: Tensor, frame: ScoreFrame, time: Tensor) -> Tensor:
        """Return the scores themselves; see ``Weighting.apply``."""
        return frame.unweight(weighted)

    def transposed(self, process: Process, applied: Tensor, frame: ScoreFrame, time: Tensor) -> Tensor:
        """Return what is given; see ``Weighting.transposed``."""
        return applied
