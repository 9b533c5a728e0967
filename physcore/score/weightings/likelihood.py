"""The loss that bounds a likelihood."""

import dataclasses

from torch import Tensor

from physcore.process import Process
from physcore.score.model import ScoreFrame
from physcore.score.weightings.weighting import Weighting

__all__ = ["Likelihood"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Likelihood(Weighting):
    r"""The noise as weight, :math:`A = G(t)^T`; directions that no noise acts on are not learned.

    With degenerate noise, as in a velocity alone, the loss says nothing about the other components of the score.

    Source: Song, Durkan, Murray and Ermon, Maximum likelihood training of score-based diffusion models (2021).
    """

    def apply(self, process: Process, weighted: Tensor, frame: ScoreFrame, time: Tensor) -> Tensor:
        """Return what the noise does to the scores, shape ``(batch, noise)``; see ``Weighting.apply``."""
        score = frame.unweight(weighted)
        return (process.noise_for(score, time) * score.unsqueeze(-1)).sum(-2)

    def transposed(self, process: Process, applied: Tensor, frame: ScoreFrame, time: Tensor) -> Tensor:
        """Return what the noise makes of vectors of its own, shape ``(batch, component)``; see the contract."""
        noise = process.noise_for(applied.new_zeros(len(applied), process.dimension), time)
        return (noise * applied.unsqueeze(-2)).sum(-1)
