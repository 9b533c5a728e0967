r"""Regression on unbiased targets, which all denoising objectives share.

.. math:: \mathcal L(\theta) = E\,\tfrac12 \left| A(y, t) \left(s_\theta(y, t) - \eta\right) \right|^2,
          \qquad E[\eta \,|\, y] = \nabla \log q_t(y)

The square's part without :math:`\theta` may be left out, and points added whose own part has mean zero: a sample has
the loss :math:`\sum_j \tfrac12 n_j |A s_\theta(y_j)|^2 - (A s_\theta(y_j)) \cdot (A \eta_j)` with norms :math:`n_j`,
divided by their sum.
"""

import dataclasses

import torch
from torch import Tensor

from physcore.score.model import ScoreModel
from physcore.score.objectives.objective import Objective, Samples
from physcore.score.weightings import OwnFrame, Weighting

__all__ = ["Denoising"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Denoising(Objective):
    """An objective whose samples have targets.

    Arguments:
        weighting: The weight of the loss.
    """

    weighting: Weighting = dataclasses.field(default_factory=OwnFrame)

    def prepared(self, model: ScoreModel, samples: Samples) -> Samples:
        """Return samples with what the model makes of their points; see ``Objective.prepared``."""
        with torch.no_grad():
            return dataclasses.replace(samples, prepared=model.prepare(samples.points, samples.times))

    def loss(self, model: ScoreModel, samples: Samples, generator: torch.Generator) -> Tensor:
        """Return the loss of each sample, shape ``(sample,)``; see ``Objective.loss``."""
        if samples.target is None:
            raise ValueError("`samples` must have targets.")
        prepared = samples.prepared or model.prepare(samples.points, samples.times)
        frame, times, shape = prepared.frame, samples.times, samples.state.shape[:2]

        def measured(weighted: Tensor) -> Tensor:
            applied = self.weighting.apply(model.process, weighted, frame, times)
            return applied.reshape(*shape, applied.shape[-1])

        score = measured(model.weighted(prepared))
        with torch.no_grad():
            target = measured(frame.weight(samples.target.flatten(0, 1)))
        if samples.norms == (1.0,) * shape[1]:
            return 0.5 * (score - target).square().sum((1, 2)) / shape[1]
        norms = score.new_tensor(samples.norms).unsqueeze(-1)
        terms = 0.5 * norms * (score.square() + target.square()) - score * target
        return terms.sum((1, 2)) / sum(samples.norms)
