"""A matrix given as a function of the state."""

import dataclasses
from collections.abc import Callable

from torch import Tensor

from physcore.score.slicings.diffusion_matrix import DiffusionMatrix

__all__ = ["MatrixFunction"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MatrixFunction(DiffusionMatrix):
    """Any matrix, which only Python can give; its derivatives are by autodiff.

    Arguments:
        function: :math:`m`, differentiable, from points ``(..., component)`` to matrices ``(..., component, column)``,
            each point by itself.
        column_count: Number of columns, as many as components when None.
    """

    function: Callable[[Tensor], Tensor]
    column_count: int | None = None

    def columns(self, state: Tensor) -> int:
        """Return the number of columns; see ``DiffusionMatrix.columns``."""
        return state.shape[-1] if self.column_count is None else self.column_count

    def multiply(self, state: Tensor, vector: Tensor) -> Tensor:
        """Return the product with the matrix; see ``DiffusionMatrix.multiply``.

        Raises:
            ValueError: If the function returns another shape.
        """
        return (self._matrix(state) * vector.unsqueeze(-2)).sum(-1)

    def transposed(self, state: Tensor, covector: Tensor) -> Tensor:
        """Return the product with its transpose; see ``DiffusionMatrix.transposed``."""
        return (self._matrix(state) * covector.unsqueeze(-1)).sum(-2)

    def _matrix(self, state: Tensor) -> Tensor:
        matrix, wanted = self.function(state), (*state.shape, self.columns(state))
        if matrix.shape != wanted:
            raise ValueError(f"`function` must return shape {wanted}; got {tuple(matrix.shape)}.")
        return matrix
