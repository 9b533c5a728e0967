r"""Fields made of a matrix and random signs.

.. math:: w = m(x)\,\epsilon, \qquad E[\epsilon \epsilon^T] = 1, \qquad M = m m^T

The same matrix gives the weight of diffusion score matching, :math:`\tfrac12 |m^T (s_\theta - s)|^2`, so that slices
along such fields estimate it; the sum over the columns, :math:`\epsilon = e_k`, is exact.

Source: Barp et al., Minimum Stein discrepancy estimators (2019), diffusion score matching; Gong and Li, Interpreting
diffusion score matching using normalizing flow (2021); the slices are derived.
"""

import abc
import dataclasses
from collections.abc import Callable, Iterator
from typing import ClassVar

import torch
from torch import Tensor

from physcore.score.probes import drawn_probes
from physcore.score.slicings.slicing import Slicing, SlicingField

__all__ = ["DiagonalField", "DiffusionMatrix", "MatrixField"]


class DiffusionMatrix(Slicing):
    """A matrix :math:`m(x)` as a law of fields; subclasses write ``multiply``, and closed forms where they have them.

    It may have any number of columns. Nothing in it may be learned together with the score: the constant that implicit
    objectives leave out depends on it.
    """

    group: ClassVar[str] = "physcore.diffusion_matrices"
    known_second_moment: ClassVar[bool] = True

    @abc.abstractmethod
    def multiply(self, state: Tensor, vector: Tensor) -> Tensor:
        r"""Return :math:`m(x)\,u`.

        Arguments:
            state: Points :math:`x`, shape ``(..., component)``.
            vector: :math:`u`, shape ``(..., column)``, its leading axes broadcastable with those of ``state``.

        Returns:
            Shape ``(..., component)``, broadcast.
        """

    def transposed(self, state: Tensor, covector: Tensor) -> Tensor:
        r"""Return :math:`m(x)^T u`, from the columns unless a subclass writes it.

        Arguments:
            state: Points :math:`x`, shape ``(..., component)``.
            covector: :math:`u`, broadcastable with ``state``.

        Returns:
            Shape ``(..., column)``, broadcast.
        """
        return torch.stack([(self.multiply(state, axis) * covector).sum(-1) for axis in self._axes(state)], -1)

    def columns(self, state: Tensor) -> int:
        """Return the number of columns at points of shape ``(..., component)``; the matrix is square unless it says."""
        return state.shape[-1]

    def field(self, signs: Tensor) -> SlicingField:
        r"""Return the field :math:`w = m \epsilon`.

        Arguments:
            signs: :math:`\epsilon`, shape ``(..., column)``.
        """
        return MatrixField(matrix=self, signs=signs)

    def column_fields(self, like: Tensor) -> Iterator[SlicingField]:
        """Yield the columns as fields.

        Arguments:
            like: Points, shape ``(..., component)``.
        """
        for axis in self._axes(like):
            yield self.field(axis)

    def draw(self, like: Tensor, generator: torch.Generator) -> SlicingField:
        """Return fields of random signs; see ``Slicing.draw``."""
        return self.field(drawn_probes("rademacher", like.new_empty(*like.shape[:-1], self.columns(like)), generator))

    def second_moment(self, state: Tensor, vector: Tensor) -> Tensor:
        """Return :math:`m m^T u`; see ``Slicing.second_moment``."""
        return self.multiply(state, self.transposed(state, vector))

    def second_moment_divergence(self, state: Tensor) -> Tensor:
        """Return the divergence of :math:`m m^T`, a sum over columns; see ``Slicing.second_moment_divergence``."""
        total = torch.zeros_like(state)
        for column in self.column_fields(state):
            total = total + column.outer_divergence(state)
        return total

    def _axes(self, like: Tensor) -> Tensor:
        return torch.eye(self.columns(like), dtype=like.dtype, device=like.device)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MatrixField(SlicingField):
    r"""The field :math:`w = m(x)\,\epsilon`.

    Arguments:
        matrix: :math:`m`.
        signs: :math:`\epsilon`, shape ``(..., column)``.
    """

    matrix: DiffusionMatrix
    signs: Tensor

    def value(self, state: Tensor) -> Tensor:
        """Return the field; see ``SlicingField.value``."""
        return self.matrix.multiply(state, self.signs)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiagonalField(SlicingField):
    r"""The field :math:`w_i = \epsilon_i a(x_i)` of a diagonal matrix, each component by itself.

    Arguments:
        signs: :math:`\epsilon`, shape ``(..., component)``.
        entries: From points to :math:`a` and its derivative :math:`a'`, each of their shape.
    """

    signs: Tensor
    entries: Callable[[Tensor], tuple[Tensor, Tensor]]

    def value(self, state: Tensor) -> Tensor:
        """Return the field; see ``SlicingField.value``."""
        return self.signs * self.entries(state)[0]

    def divergence(self, state: Tensor) -> Tensor:
        r"""Return :math:`\sum_i \epsilon_i a'_i`; see ``SlicingField.divergence``."""
        return (self.signs * self.entries(state)[1]).sum(-1)

    def advection(self, state: Tensor) -> Tensor:
        r"""Return :math:`\epsilon_i^2 a_i a'_i`; see ``SlicingField.advection``."""
        entry, slope = self.entries(state)
        return self.signs.square() * entry * slope

    def outer_divergence(self, state: Tensor) -> Tensor:
        """Return both terms from one evaluation; see ``SlicingField.outer_divergence``."""
        entry, slope = self.entries(state)
        bent = self.signs * slope
        return self.signs * entry * (bent + bent.sum(-1, keepdim=True))
