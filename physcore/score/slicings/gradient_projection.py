r"""Gradients of given maps.

.. math:: w = J_v^T \epsilon = \nabla (\epsilon \cdot v), \qquad M = J_v^T J_v

With a single value the field is :math:`\nabla v` up to its sign, and only the score along it is compared.

Source: derived.
"""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from physcore.score.slicings.diffusion_matrix import DiffusionMatrix
from physcore.score.slicings.slicing import SlicingField
from physcore.transform import derivatives

__all__ = ["GradientField", "GradientProjection"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GradientField(SlicingField):
    r"""The gradient of a sum of the values of a map.

    Arguments:
        gradient: The map's gradients.
        signs: :math:`\epsilon`, the factors of its values, shape ``(..., value)``.
    """

    gradient: "GradientProjection"
    signs: Tensor

    def value(self, state: Tensor) -> Tensor:
        """Return the gradient; see ``SlicingField.value``."""
        return self.gradient.multiply(state, self.signs)

    def advection(self, state: Tensor) -> Tensor:
        """Return the Hessian times the gradient, with one pass back; see ``SlicingField.advection``."""
        return derivatives.pull(self.value, state, self.value(state).detach())


@dataclasses.dataclass(frozen=True, kw_only=True)
class GradientProjection(DiffusionMatrix):
    r"""Projections on the values of a map, which only Python can give.

    Arguments:
        function: :math:`v`, twice differentiable, from points ``(..., component)`` to numbers ``(...)`` or values
            ``(..., value)``, each point by itself.
        values: Number of values, 0 where it returns numbers.
    """

    function: Callable[[Tensor], Tensor]
    values: int = 0

    def columns(self, state: Tensor) -> int:
        """Return the number of values; see ``DiffusionMatrix.columns``."""
        return max(1, self.values)

    def field(self, signs: Tensor) -> SlicingField:
        """Return the gradient of a projection; see ``DiffusionMatrix.field``."""
        return GradientField(gradient=self, signs=signs)

    def multiply(self, state: Tensor, vector: Tensor) -> Tensor:
        """Return the product with the transposed Jacobian; see ``DiffusionMatrix.multiply``.

        Raises:
            ValueError: If the function returns another shape.
        """
        return derivatives.pull(self._listed, state, vector, follow=self._follows_parameters(state))

    def transposed(self, state: Tensor, covector: Tensor) -> Tensor:
        """Return the product with the Jacobian; see ``DiffusionMatrix.transposed``."""
        return derivatives.push(self._listed, state, covector, follow=self._follows_parameters(state))

    def _follows_parameters(self, state: Tensor) -> bool:
        """Return whether the function depends on what is trained, so that the products do and can be refused."""
        with torch.enable_grad():
            return bool(self.function(state.detach()).requires_grad)

    def _listed(self, state: Tensor) -> Tensor:
        values = self.function(state)
        wanted = (*state.shape[:-1], self.values) if self.values else state.shape[:-1]
        if values.shape != wanted:
            raise ValueError(f"`function` must return shape {tuple(wanted)}; got {tuple(values.shape)}.")
        return values if self.values else values.unsqueeze(-1)
