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

from physcore.score.model import Prepared, ScoreModel
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
        """Return samples with what the model makes of their points, and targets weighed; see ``Objective.prepared``."""
        prepared, target = self._prepared(model, samples)
        return dataclasses.replace(samples, prepared=prepared, weighed=target)

    def loss(self, model: ScoreModel, samples: Samples, generator: torch.Generator) -> Tensor:
        """Return the loss of each sample, shape ``(sample,)``; see ``Objective.loss``."""
        prepared, target = samples.prepared, samples.weighed
        if prepared is None or target is None:
            prepared, target = self._prepared(model, samples)
        points = samples.state.shape[1]
        score = self._weighed(model, model.weighted(prepared), prepared, samples)
        if samples.norms == (1.0,) * points:
            return (0.5 / points) * (score - target).square().sum((1, 2))
        norms = score.new_tensor(samples.norms).unsqueeze(-1)
        terms = 0.5 * norms * (score.square() + target.square()) - score * target
        return terms.sum((1, 2)) / sum(samples.norms)

    @torch.no_grad()
    def _prepared(self, model: ScoreModel, samples: Samples) -> tuple[Prepared, Tensor]:
        if samples.target is None:
            raise ValueError("`samples` must have targets.")
        prepared = model.prepare(samples.points, samples.times)
        target = prepared.frame.weight(samples.target.flatten(0, 1))
        return prepared, self._weighed(model, target, prepared, samples)

    def _weighed(self, model: ScoreModel, weighted: Tensor, prepared: Prepared, samples: Samples) -> Tensor:
        """Return scores of the model's frame as the loss weighs them, shape ``(sample, point, entry)``."""
        applied = self.weighting.apply(model.process, weighted, prepared.frame, samples.times)
        return applied.reshape(*samples.state.shape[:2], applied.shape[-1])
