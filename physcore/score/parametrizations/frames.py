r"""Frames of scores: a scale for each component, or a Cholesky factor.

With the learned components last, a score of which only these are learned needs only the lower right block of a factor:
:math:`L^T` is upper triangular, so the last entries of :math:`L^T s` do not contain the first ones of :math:`s`.
The block is the Cholesky factor of the covariance of the learned components given all others.
"""

import dataclasses

from torch import Tensor

from physcore.score.components import Components
from physcore.score.model import Rows, ScoreFrame
from physcore.small_matrices import cholesky, solve_lower, solve_transposed, transpose_multiply

__all__ = ["DiagonalFrame", "TriangularFrame", "ordered_factor", "whiten"]


@dataclasses.dataclass(frozen=True)
class DiagonalFrame(ScoreFrame):
    r"""The frame :math:`M = \operatorname{diag}(\sigma)`.

    Arguments:
        scale: Scales :math:`\sigma`, shape ``(batch, component)``, or ``(1, component)`` where one serves all.
        learned: The learned components.
    """

    scale: Tensor
    learned: Components

    def weight(self, score: Tensor) -> Tensor:
        r"""Return :math:`\sigma s`; see ``ScoreFrame.weight``."""
        return self.learned.take(self.scale * score)

    def unweight(self, weighted: Tensor) -> Tensor:
        r"""Return :math:`w / \sigma`; see ``ScoreFrame.unweight``."""
        return self.learned.place(weighted) / self.scale

    def rows(self, rows: Rows) -> "DiagonalFrame":
        """Return the frame of some of the points; see ``ScoreFrame.rows``."""
        return self if self.scale.shape[0] == 1 else DiagonalFrame(self.scale[rows], self.learned)


@dataclasses.dataclass(frozen=True)
class TriangularFrame(ScoreFrame):
    """The frame of a Cholesky factor.

    Arguments:
        factor: Lower right block :math:`L` of the factor with the learned components last, shape
            ``(learned component, learned component, batch)``, or a batch of 1 where one serves all.
        learned: The learned components.
    """

    factor: Tensor
    learned: Components

    @classmethod
    def of(cls, factor: Tensor, learned: Components) -> "TriangularFrame":
        """Return the frame of a whole factor, shape ``(component, component, batch)``, learned components last."""
        first = learned.dimension - len(learned)
        return cls(factor[first:, first:], learned)

    def weight(self, score: Tensor) -> Tensor:
        """Return :math:`L^T s`; see ``ScoreFrame.weight``."""
        return transpose_multiply(self.factor, self.learned.take(score).T).T

    def unweight(self, weighted: Tensor) -> Tensor:
        """Return :math:`L^{-T} w`; see ``ScoreFrame.unweight``."""
        return self.learned.place(solve_transposed(self.factor, weighted.T).T)

    def rows(self, rows: Rows) -> "TriangularFrame":
        """Return the frame of some of the points; see ``ScoreFrame.rows``."""
        return self if self.factor.shape[-1] == 1 else TriangularFrame(self.factor[:, :, rows], self.learned)


def ordered_factor(covariance: Tensor, learned: Components) -> Tensor:
    """Return lower Cholesky factors with the learned components last.

    Arguments:
        covariance: Covariances, components in the order of the state, shape ``(component, component, batch)``.
        learned: The learned components.

    Raises:
        NumericalError: If a covariance is not positive definite in its precision.
    """
    return cholesky(learned.ordered(learned.ordered(covariance).transpose(0, 1)))


def whiten(displacement: Tensor, factor: Tensor, learned: Components) -> Tensor:
    """Return :math:`L^{-1} (y - m)`, shape ``(batch, component)``, each entry in the place of its component.

    Arguments:
        displacement: :math:`y - m`, shape ``(batch, component)``.
        factor: Whole factors, learned components last, shape ``(component, component, batch)`` or a batch of 1.
        learned: The learned components.
    """
    return learned.restored(solve_lower(factor, learned.ordered(displacement.T))).T
