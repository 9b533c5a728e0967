r"""Diffusion score matching.

.. math:: \mathcal L(\theta) = E\left[\tfrac12 |m^T s_\theta|^2 + \nabla \cdot (m m^T s_\theta)\right]
          = E\,\tfrac12 |m^T (s_\theta - s)|^2 + \text{const.}

The matrix :math:`m(x)` weighs the difference of scores. With the inverse Jacobian of a map it is score matching after
the map, :math:`m = J^{-1}`; with a root of an inverse metric, :math:`m m^T = G^{-1}`, differences are measured by the
metric. One that grows into the tails is what scores of heavy-tailed laws need. The trace is exact, by the columns of
:math:`m`, or sliced, :math:`w = m \epsilon`.

The constant, :math:`\tfrac12 E |m^T s|^2`, depends on :math:`m`: it must be known beforehand, and is never trained
together with the score.

Source: Barp et al., Minimum Stein discrepancy estimators (2019), where the loss is twice this one; Gong and Li,
Interpreting diffusion score matching using normalizing flow (2021). Slices and their variance reduction are derived.
"""

import dataclasses
from typing import Literal

import torch
from torch import Tensor

from physcore.process import Process
from physcore.score.lags import Pilot
from physcore.score.objectives.along_fields import along_fields, learned_slicing, whole_terms
from physcore.score.objectives.implicit import Differentiable, Implicit
from physcore.score.slicings import DiffusionMatrix, TailWeight
from physcore.score.weightings import Uniform

__all__ = ["DiffusionScoreMatching"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffusionScoreMatching(Implicit):
    r"""Diffusion score matching at the simulated states.

    Integration by parts asks that :math:`q\,m m^T s_\theta` vanishes far out. Where a model learns some components
    alone, the matrix is that of these components.

    Arguments:
        matrix: :math:`m`; by default diagonal, growing with the distance from the bulk, with location and scale
            measured before the fit.
        divergence: Exact, at one derivative for each column, or along random slices.
        projection_count: Slices of a sample.
        variance_reduction: Whether all but the trace is taken whole where it is sliced.

    Raises:
        ValueError: If there is not at least one slice; in the fit, if the matrix depends on parameters that are
            trained.
    """

    weighting = Uniform()

    matrix: DiffusionMatrix = dataclasses.field(default_factory=TailWeight)
    divergence: Literal["exact", "sliced"] = "exact"
    projection_count: int = 1
    variance_reduction: bool = True

    def __post_init__(self) -> None:
        if self.projection_count < 1:
            raise ValueError(f"`projection_count` must be at least 1; got {self.projection_count}.")

    def fitted(self, pilot: Pilot) -> "DiffusionScoreMatching":
        """Return the objective with all that its matrix measures known; see ``Objective.fitted``."""
        matrix = self.matrix.fitted(pilot)
        return self if matrix is self.matrix else dataclasses.replace(self, matrix=matrix)

    def losses(self, process: Process, score: Differentiable, generator: torch.Generator) -> Tensor:
        """Return the loss of each sample, shape ``(sample,)``; see ``Implicit.losses``."""
        matrix, points = learned_slicing(self.matrix, score)
        exact = self.divergence == "exact"
        count, whole = 1 if exact else self.projection_count, exact or self.variance_reduction
        drawn = (matrix.draw(points, generator) for _ in range(count))
        loss = along_fields(score, points, matrix.column_fields(points) if exact else drawn, whole=whole) / count
        return loss + whole_terms(score, points, matrix) if whole else loss
