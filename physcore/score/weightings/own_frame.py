"""The loss measured in the frame in which the model states its score."""

import dataclasses

from torch import Tensor

from physcore.process import Process
from physcore.score.model import ScoreFrame
from physcore.score.weightings.weighting import Weighting

__all__ = ["OwnFrame"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnFrame(Weighting):
    r"""The model's own frame, :math:`A = M^T`: for the local parametrisation the local covariance as a weight.

    Source: derived.
    """

    def apply(self, process: Process, weighted: Tensor, frame: ScoreFrame, time: Tensor) -> Tensor:
        """Return what is given; see ``Weighting.apply``."""
        return weighted
