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
from physcore.score.model import ScoreFrame, ScoreModel
from physcore.score.objectives.objective import Batch, Objective, Sampler, Samples
from physcore.score.weightings import OwnFrame, Weighting

__all__ = ["Differentiable", "Implicit"]


@dataclasses.dataclass(frozen=True)
class Differentiable:
    r"""A weighted score as a function of its points, to be differentiated.

    Arguments:
        state: Points, shape ``(batch, component)``.
        time: Times, shape ``(batch,)``.
        frame: The model's frame there.
        applied: :math:`A s_\theta`, shape ``(batch, entry)``.
        further: Whether derivatives are to be differentiated in the parameters.
    """

    state: Tensor
    time: Tensor
    frame: ScoreFrame
    applied: Tensor
    further: bool

    def gradient(self, values: Tensor) -> Tensor:
        """Return the gradient in each point of its value, shape ``(batch, component)``, for values ``(batch,)``."""
        return torch.autograd.grad(
            values.sum(), self.state, retain_graph=True, create_graph=self.further, materialize_grads=True
        )[0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Implicit(Objective):
    """An objective whose samples are the simulated states.

    Arguments:
        weighting: The weight of the loss.
    """

    twice_differentiated: ClassVar[bool] = True
    weighting: Weighting = dataclasses.field(default_factory=OwnFrame)

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
            score = Differentiable(state, time, prepared.frame, applied, further)
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
