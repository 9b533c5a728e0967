r"""Maps of each component by itself.

.. math:: y_i = \varphi(x_i), \qquad J = \mathrm{diag}\,\varphi'(x_i), \qquad
          \partial_i \log |\det J| = \varphi''(x_i) / \varphi'(x_i), \qquad (H{:}A)_i = \varphi''(x_i) A_{ii}

The slope is stated by its logarithm, which neither overflows nor vanishes far out.
"""

import abc
from typing import NamedTuple

import torch
from torch import Tensor

from physcore.transform.bijections.bijection import Bijection
from physcore.transform.fused_carry import fused_carry

__all__ = ["Elementwise", "Jet", "in_units"]


class Jet(NamedTuple):
    r"""What carries a score through a function of one variable, or back.

    Arguments:
        value: Where the points go.
        slope: The factor of the score: :math:`1 / \varphi'` on the way, :math:`\varphi'` on the way back.
        bend: :math:`\varphi'' / \varphi'`.
    """

    value: Tensor
    slope: Tensor
    bend: Tensor


class Elementwise(Bijection):
    r"""A function of one variable applied to each component; subclasses write it, its inverse and ``log_slope``."""

    @abc.abstractmethod
    def log_slope(self, state: Tensor) -> Tensor:
        r"""Return :math:`\log |\varphi'(x)|`, shape of ``state``."""

    @abc.abstractmethod
    def log_slope_derivative(self, state: Tensor) -> Tensor:
        r"""Return :math:`\varphi''(x) / \varphi'(x)`, shape of ``state``."""

    def slope(self, state: Tensor) -> Tensor:
        r"""Return :math:`\varphi'(x)`, shape of ``state``."""
        return self.sign * torch.exp(self.log_slope(state))

    def inverse_slope(self, state: Tensor) -> Tensor:
        r"""Return :math:`1 / \varphi'(x)`, the slope of the inverse, shape of ``state``."""
        return self.sign * torch.exp(-self.log_slope(state))

    def jet(self, state: Tensor) -> Jet:
        """Return the value, the inverse slope and the derivative of the slope's logarithm at points of the domain.

        Arguments:
            state: Points :math:`x`, shape ``(..., component)``.
        """
        return Jet(self.forward(state), self.inverse_slope(state), self.log_slope_derivative(state))

    def inverse_jet(self, image: Tensor) -> Jet:
        """Return the origin of points of the image, with the slope and its logarithm's derivative there.

        Arguments:
            image: Points :math:`y`, shape ``(..., component)``.
        """
        origin = self.inverse(image)
        return Jet(origin, self.slope(origin), self.log_slope_derivative(origin))

    @property
    def sign(self) -> float:
        """The sign of the slope."""
        return 1.0

    def log_determinant(self, state: Tensor) -> Tensor:
        r"""Return :math:`\sum_i \log |\varphi'(x_i)|`, shape ``(...)``; see ``Bijection.log_determinant``."""
        self.check_domain(state)
        return self.log_slope(state).sum(-1)

    def log_determinant_gradient(self, state: Tensor) -> Tensor:
        r"""Return :math:`\varphi'' / \varphi'`, shape of ``state``; see ``Bijection.log_determinant_gradient``."""
        return self.log_slope_derivative(state)

    def push(self, state: Tensor, vector: Tensor) -> Tensor:
        r"""Return :math:`\varphi' u`; see ``Bijection.push``."""
        return self.slope(state) * vector

    def pull(self, state: Tensor, covector: Tensor) -> Tensor:
        r"""Return :math:`\varphi' w`; see ``Bijection.pull``."""
        return self.slope(state) * covector

    def inverse_push(self, state: Tensor, vector: Tensor) -> Tensor:
        r"""Return :math:`v / \varphi'`; see ``Bijection.inverse_push``."""
        return vector * self.inverse_slope(state)

    def inverse_pull(self, state: Tensor, covector: Tensor) -> Tensor:
        r"""Return :math:`w / \varphi'`; see ``Bijection.inverse_pull``."""
        return self.inverse_push(state, covector)

    def carry_score(self, state: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Return points and score after the map, from one jet; see ``Bijection.carry_score``."""
        fused = fused_carry((self, "on"), self._carried, state, score)
        if fused is None:
            return self._carried(state, score)
        self.check_domain(state)
        return fused

    def return_score(self, image: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Return points and score before the map, from one jet; see ``Bijection.return_score``."""
        fused = fused_carry((self, "back"), self._returned, image, score)
        if fused is None:
            return self._returned(image, score)
        self.check_image(image)
        return fused

    def push_score(self, state: Tensor, score: Tensor) -> Tensor:
        r"""Return :math:`(s - \varphi'' / \varphi') / \varphi'`; see ``Bijection.push_score``."""
        fused = fused_carry((self, "on"), self._carried, state, score)
        return super().push_score(state, score) if fused is None else fused[1]

    def hessian_contraction(self, state: Tensor, noise: Tensor) -> Tensor:
        r"""Return :math:`\varphi''(x_i) \sum_r G_{ir}^2`, shape of ``state``; see ``Bijection.hessian_contraction``."""
        return self.slope(state) * self.log_slope_derivative(state) * noise.square().sum(-1)

    def _carried(self, state: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        found = self.jet(state)
        return found.value, (score - found.bend) * found.slope

    def _returned(self, image: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        found = self.inverse_jet(image)
        return found.value, score * found.slope + found.bend


def in_units(state: Tensor, scale: float) -> Tensor:
    """Return states divided by a scale, themselves if it is one: a pass over memory costs as much as a function.

    Arguments:
        state: States, any shape.
        scale: The scale.
    """
    return state if scale == 1 else state / scale
