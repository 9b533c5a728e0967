r"""Directions in the image of a map, carried back.

.. math:: w = B u, \quad B = J_\phi^{-1}, \qquad \operatorname{div} w = -w \cdot \nabla \log |\det J_\phi|, \qquad
          (w \cdot \nabla) w = -B\,D^2 \phi[w, w]

Diffusion score matching with :math:`m = B` is score matching of the law of :math:`y = \phi(x)`, of data and model
alike: :math:`m^T (s_\theta - s)` is the difference of their scores in :math:`y`.

Source: Gong and Li, Interpreting diffusion score matching using normalizing flow (2021), :math:`m = J^{-1}`; Robbins,
Score Change of Variables (2024), the slices; the derivatives are derived by differentiating :math:`J w = u` along w.
"""

import dataclasses

import torch
from torch import Tensor

from physcore.score.slicings.diffusion_matrix import DiffusionMatrix
from physcore.score.slicings.slicing import SlicingField
from physcore.transform.bijections import Arcsinh, Bijection

__all__ = ["InverseJacobian", "InverseJacobianField"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class InverseJacobianField(SlicingField):
    """A direction in the image of a map, carried back.

    Arguments:
        bijection: The map.
        direction: The direction in its image, shape ``(..., component)``.
    """

    bijection: Bijection
    direction: Tensor

    def value(self, state: Tensor) -> Tensor:
        """Return the field; see ``SlicingField.value``.

        Raises:
            ValueError: If a point lies outside the domain of the map or has another number of components.
        """
        self.bijection.check_domain(state)
        return self.bijection.inverse_push(state, self.direction)

    def divergence(self, state: Tensor) -> Tensor:
        """Return minus the slope of the log-determinant along the field; see ``SlicingField.divergence``."""
        return -(self.value(state) * self.bijection.log_determinant_gradient(state)).sum(-1)

    def advection(self, state: Tensor) -> Tensor:
        """Return what the bending of the map makes of the field; see ``SlicingField.advection``."""
        return -_carried_bending(self.bijection, state, self.value(state).unsqueeze(-1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class InverseJacobian(DiffusionMatrix):
    r"""The inverse Jacobian of a map, :math:`m = J_\phi^{-1}`.

    Arguments:
        bijection: :math:`\phi`; a flow must not be trained meanwhile.
    """

    bijection: Bijection = dataclasses.field(default_factory=Arcsinh)

    def field(self, signs: Tensor) -> SlicingField:
        """Return a direction carried back; see ``DiffusionMatrix.field``."""
        return InverseJacobianField(bijection=self.bijection, direction=signs)

    def multiply(self, state: Tensor, vector: Tensor) -> Tensor:
        """Return the product with the inverse Jacobian; see ``DiffusionMatrix.multiply``.

        Raises:
            ValueError: If a point lies outside the domain of the map or has another number of components.
        """
        self.bijection.check_domain(state)
        return self.bijection.inverse_push(state, vector)

    def transposed(self, state: Tensor, covector: Tensor) -> Tensor:
        """Return the product with its transpose; see ``DiffusionMatrix.transposed``."""
        return self.bijection.inverse_pull(state, covector)

    def second_moment_divergence(self, state: Tensor) -> Tensor:
        r"""Return :math:`-B (H{:}B B^T) - B B^T \nabla \log |\det J|`; see ``Slicing.second_moment_divergence``."""
        columns = torch.stack([self.multiply(state, axis) for axis in self._axes(state)], -1)
        growth = self.second_moment(state, self.bijection.log_determinant_gradient(state))
        return -_carried_bending(self.bijection, state, columns) - growth


def _carried_bending(bijection: Bijection, state: Tensor, root: Tensor) -> Tensor:
    return bijection.inverse_push(state, bijection.hessian_contraction(state, root))
