r"""Sliced score matching.

.. math:: \mathcal L(\theta) = E_v E\left[\tfrac12 (v \cdot A s_\theta)^2 + \nabla \cdot (a\,(v \cdot A s_\theta))
          \right], \qquad a = A^T v

Scores are compared along random directions :math:`a`, in the units of the weight. Since :math:`E_v[v v^T] = 1` this is
implicit score matching, and with variance reduction the square is taken whole, :math:`\tfrac12 |A s_\theta|^2`. Where
the weight depends on the point so does the direction, and its divergence, free of the parameters, is estimated with a
probe of its own:

.. math:: \nabla \cdot (a\,p) = a \cdot \nabla p + p\,\nabla \cdot a, \qquad
          \nabla \cdot a = E_r\left[r \cdot \nabla (r \cdot a)\right]

Source: Song, Garg, Shi and Ermon, Sliced score matching: a scalable approach to density and score estimation (2019),
equations 8 and 9; directions in the frame of a weight are derived.
"""

import dataclasses

import torch
from torch import Tensor

from physcore.process import Process
from physcore.score.objectives.implicit import Differentiable, Implicit
from physcore.score.probes import Probes, drawn_probes
from physcore.score.weightings import OwnFrame, Weighting

__all__ = ["SlicedScoreMatching"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SlicedScoreMatching(Implicit):
    """Sliced score matching at the simulated states.

    Arguments:
        weighting: The weight of the loss; every one can be used.
        projections: Law of the directions.
        projection_count: Directions of a sample.
        variance_reduction: Whether the square of the score is taken whole instead of along the directions.

    Raises:
        ValueError: If there is not at least one direction.
    """

    weighting: Weighting = dataclasses.field(default_factory=OwnFrame)
    projections: Probes = "rademacher"
    projection_count: int = 1
    variance_reduction: bool = True

    def __post_init__(self) -> None:
        if self.projection_count < 1:
            raise ValueError(f"`projection_count` must be at least 1; got {self.projection_count}.")

    def losses(self, process: Process, score: Differentiable, generator: torch.Generator) -> Tensor:
        """Return the loss of each sample, shape ``(sample,)``; see ``Implicit.losses``."""
        total = torch.zeros_like(score.state[:, 0])
        for _ in range(self.projection_count):
            across = drawn_probes(self.projections, score.applied, generator)
            direction = self.weighting.transposed(process, across, score.frame, score.time)
            bending = None
            if direction.requires_grad:
                probe = drawn_probes(self.projections, direction, generator)
                divergence = (score.gradient((direction * probe).sum(-1)) * probe).sum(-1, keepdim=True)
                bending = divergence * across
            total = total + score.sliced(across, direction, bending, square=not self.variance_reduction)
        total = total / self.projection_count
        return total + 0.5 * score.applied.square().sum(-1) if self.variance_reduction else total
