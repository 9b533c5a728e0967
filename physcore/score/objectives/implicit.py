r"""Score matching without targets, at the simulated states themselves.

.. math:: \mathcal L(\theta) = E\left[\tfrac12 |A s_\theta|^2 + \nabla \cdot (A^T A\,s_\theta)\right]

differs from :math:`E\,\tfrac12 |A (s_\theta - s)|^2` by a constant, by partial integration; the weight
:math:`A(y, t)` is differentiated along. No lag, no kernel and hence no bias of one; the price is a derivative of the
network in its input, and another in its parameters.

Source: Hyvärinen, Estimation of non-normalized statistical models by score matching (2005); with a weight that depends
on the point, derived.
"""

import abc
import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from physcore.process import Process
from physcore.score.components import Components
from physcore.score.model import ScoreFrame, ScoreModel
from physcore.score.objectives.objective import Batch, Objective, Sampler, Samples

__all__ = ["Differentiable", "Implicit"]


@dataclasses.dataclass(frozen=True)
class Differentiable:
    r"""A weighted score as a function of its points, to be differentiated.

    Arguments:
        state: Points, shape ``(batch, component)``.
        time: Times, shape ``(batch,)``.
        frame: The model's frame there.
        learned: The components that the model learns.
        applied: :math:`A s_\theta`, shape ``(batch, entry)``.
        further: Whether derivatives are to be differentiated in the parameters.
    """

    state: Tensor
    time: Tensor
    frame: ScoreFrame
    learned: Components
    applied: Tensor
    further: bool

    def gradient(self, values: Tensor) -> Tensor:
        """Return the gradient in each point of its value, shape ``(batch, component)``, for values ``(batch,)``."""
        return torch.autograd.grad(
            values.sum(), self.state, retain_graph=True, create_graph=self.further, materialize_grads=True
        )[0]

    def sliced(self, across: Tensor, direction: Tensor, bending: Tensor | None, *, square: bool) -> Tensor:
        r"""Return the loss along a direction of each sample.

        .. math:: \tfrac12 (w \cdot s_\theta)^2 + w \cdot \nabla (w \cdot s_\theta)
                  + (\operatorname{div} w)(w \cdot s_\theta), \qquad w = A^T u

        Arguments:
            across: :math:`u`, shape ``(batch, entry)``, not differentiated in the points.
            direction: :math:`w`, shape ``(batch, component)``.
            bending: :math:`(w \cdot \nabla) u + (\operatorname{div} w)\,u`, shape of ``across``; None where it vanishes
                or is taken elsewhere.
            square: Whether the square is among the terms.

        Returns:
            Shape ``(batch,)``.
        """
        along = (self.applied * across).sum(-1)
        loss = (self.gradient(along) * direction).sum(-1)
        if bending is not None:
            loss = loss + (self.applied * bending).sum(-1)
        return loss + 0.5 * along.square() if square else loss


class Implicit(Objective):
    """An objective whose samples are the simulated states; subclasses write ``losses``."""

    twice_differentiated: ClassVar[bool] = True

    def sampler(self, process: Process) -> Sampler:
        """Return what takes states as they are; see ``Objective.sampler``."""

        def sample(batch: Batch, _: torch.Generator) -> Samples:
            return Samples(state=batch.state.detach().unsqueeze(1), time=batch.time, importance=batch.importance)

        return sample

    def loss(self, model: ScoreModel, samples: Samples, generator: torch.Generator) -> Tensor:
        """Return the loss of each sample, shape ``(sample,)``; see ``Objective.loss``."""
        further = torch.is_grad_enabled()
        with torch.enable_grad():
            state, time = samples.points.detach().requires_grad_(), samples.times
            prepared = model.prepare(state, time)
            applied = self.weighting.apply(model.process, model.weighted(prepared), prepared.frame, time)
            score = Differentiable(state, time, prepared.frame, model.learned, applied, further)
            losses = self.losses(model.process, score, generator)
        return losses if further else losses.detach()

    @abc.abstractmethod
    def losses(self, process: Process, score: Differentiable, generator: torch.Generator) -> Tensor:
        """Return the loss of each sample, shape ``(sample,)``; gradients are enabled.

        Arguments:
            process: The process.
            score: The weighted score at the samples.
            generator: Source of randomness.
        """
