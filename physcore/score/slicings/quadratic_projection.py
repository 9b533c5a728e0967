r"""Random quadratic projections.

.. math:: v = \epsilon \cdot x + \tfrac12 x^T B x, \qquad w = \epsilon + B x, \qquad
          \operatorname{div}(w w^T) = B w + (\operatorname{tr} B)\,w

With signs :math:`\epsilon` and a symmetric :math:`B` of independent entries :math:`\pm \kappa`, on the diagonal
:math:`\pm \sqrt 2 \kappa`, in :math:`n` dimensions

.. math:: M = (1 + \kappa^2 |x|^2)\,1 + \kappa^2 x x^T, \qquad \operatorname{div} M = (n + 3)\,\kappa^2 x .

Source: derived.
"""

import dataclasses
import math

import torch
from torch import Tensor

from physcore.score.probes import drawn_probes
from physcore.score.slicings.slicing import Slicing, SlicingField

__all__ = ["QuadraticField", "QuadraticProjection"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuadraticField(SlicingField):
    r"""The gradient of a quadratic form.

    Arguments:
        direction: :math:`\epsilon`, shape ``(..., component)``.
        matrix: :math:`B`, symmetric, shape ``(..., component, component)``.
    """

    direction: Tensor
    matrix: Tensor

    def value(self, state: Tensor) -> Tensor:
        """Return the field; see ``SlicingField.value``."""
        return self.direction + self._bent(state)

    def divergence(self, state: Tensor) -> Tensor:
        """Return the trace of the matrix; see ``SlicingField.divergence``."""
        return self.matrix.diagonal(dim1=-2, dim2=-1).sum(-1).expand(state.shape[:-1])

    def advection(self, state: Tensor) -> Tensor:
        """Return the matrix times the field; see ``SlicingField.advection``."""
        return self._bent(self.value(state))

    def _bent(self, vector: Tensor) -> Tensor:
        return (self.matrix * vector.unsqueeze(-2)).sum(-1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuadraticProjection(Slicing):
    r"""Projections on random quadratic forms.

    Arguments:
        curvature: :math:`\kappa`, in units of 1 / [x]; zero gives linear projections.

    Raises:
        ValueError: If the curvature is negative or not finite.
    """

    known_second_moment = True

    curvature: float = 0.1

    def __post_init__(self) -> None:
        if not (self.curvature >= 0 and math.isfinite(self.curvature)):
            raise ValueError(f"`curvature` must be at least 0 and finite; got {self.curvature}.")

    def draw(self, like: Tensor, generator: torch.Generator) -> QuadraticField:
        """Return random quadratic forms; see ``Slicing.draw``."""
        direction = drawn_probes("rademacher", like, generator)
        signs = drawn_probes("rademacher", like.unsqueeze(-1).expand(*like.shape, like.shape[-1]), generator)
        return QuadraticField(direction=direction, matrix=self.form(signs))

    def form(self, signs: Tensor) -> Tensor:
        r"""Return :math:`B` from signs, of which those on and below the diagonal are used, shape of ``signs``."""
        below, diagonal = signs.tril(-1), signs.diagonal(dim1=-2, dim2=-1)
        return self.curvature * (below + below.mT + math.sqrt(2) * torch.diag_embed(diagonal))

    def second_moment(self, state: Tensor, vector: Tensor) -> Tensor:
        """Return the product with the second moment; see ``Slicing.second_moment``."""
        square, along = ((state * other).sum(-1, keepdim=True) for other in (state, vector))
        return vector + self.curvature**2 * (square * vector + along * state)

    def second_moment_divergence(self, state: Tensor) -> Tensor:
        r"""Return :math:`(n + 3)\,\kappa^2 x`; see ``Slicing.second_moment_divergence``."""
        return (state.shape[-1] + 3) * self.curvature**2 * state
