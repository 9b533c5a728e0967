r"""Generalized sliced score matching.

.. math:: \mathcal L(\theta) = E_w E\left[\tfrac12 (w \cdot s_\theta)^2 + w \cdot \nabla (w \cdot s_\theta)
          + (\operatorname{div} w)(w \cdot s_\theta)\right]

Scores are compared along fields :math:`w(x)` that may bend, such as gradients of nonlinear projections; for constant
ones this is sliced score matching. Since only :math:`M(x) = E_w[w w^T]` matters in the mean, it is an estimate of
diffusion score matching. With variance reduction all but :math:`w^T (\nabla s_\theta)\,w` is taken whole,
:math:`\tfrac12 s_\theta^T M s_\theta + (\operatorname{div} M) \cdot s_\theta`.

Source: Robbins, Score Change of Variables (2024); the form for any field and its variance reduction are derived.
"""

import dataclasses

import torch
from torch import Tensor

from physcore.process import Process
from physcore.score.lags import Pilot
from physcore.score.objectives.along_fields import along_fields, learned_slicing, whole_terms
from physcore.score.objectives.implicit import Differentiable, Implicit
from physcore.score.slicings import Slicing, TailWeight
from physcore.score.weightings import Uniform

__all__ = ["GeneralizedSlicedScoreMatching"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneralizedSlicedScoreMatching(Implicit):
    """Sliced score matching along random fields, at the simulated states.

    Where a model learns some components alone, the fields are those of these components.

    Arguments:
        slicing: Law of the fields; by default the slopes of inverse hyperbolic sines of each component, with location
            and scale measured before the fit, which weigh tails down.
        projection_count: Fields of a sample.
        variance_reduction: Whether all is taken whole that the second moment of the fields tells.

    Raises:
        ValueError: If there is not at least one field, or their second moment is needed and not known; in the fit, if
            a field depends on parameters that are trained.
    """

    weighting = Uniform()

    slicing: Slicing = dataclasses.field(default_factory=lambda: TailWeight(exponent=-0.5))
    projection_count: int = 1
    variance_reduction: bool = True

    def __post_init__(self) -> None:
        if self.projection_count < 1:
            raise ValueError(f"`projection_count` must be at least 1; got {self.projection_count}.")
        if self.variance_reduction and not self.slicing.known_second_moment:
            raise ValueError(f"`variance_reduction` must be False: the second moment of {self.slicing!r} is not known.")

    def fitted(self, pilot: Pilot) -> "GeneralizedSlicedScoreMatching":
        """Return the objective with all that its fields measure known; see ``Objective.fitted``."""
        slicing = self.slicing.fitted(pilot)
        return self if slicing is self.slicing else dataclasses.replace(self, slicing=slicing)

    def losses(self, process: Process, score: Differentiable, generator: torch.Generator) -> Tensor:
        """Return the loss of each sample, shape ``(sample,)``; see ``Implicit.losses``."""
        slicing, points = learned_slicing(self.slicing, score)
        fields = (slicing.draw(points, generator) for _ in range(self.projection_count))
        loss = along_fields(score, points, fields, whole=self.variance_reduction) / self.projection_count
        return loss + whole_terms(score, points, slicing) if self.variance_reduction else loss
