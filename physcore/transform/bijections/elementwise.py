r"""Maps of each component by itself.

.. math:: y_i = \varphi(x_i), \qquad J = \mathrm{diag}\,\varphi'(x_i), \qquad
          \partial_i \log |\det J| = \varphi''(x_i) / \varphi'(x_i), \qquad (H{:}A)_i = \varphi''(x_i) A_{ii}

The slope is stated by its logarithm, which neither overflows nor vanishes far out.
"""

import abc

import torch
from torch import Tensor

from physcore.transform.bijections.bijection import Bijection

__all__ = ["Elementwise"]


class Elementwise(Bijection):
    r"""A function of one variable applied to each component; subclasses write it, its inverse and ``log_slope``."""

    @abc.abstractmethod
    def log_slope(self, state: Tensor) -> Tensor:
        r"""Return :math:`\log |\varphi'(x)|`, shape of ``state``."""

    @abc.abstractmethod
    def log_slope_derivative(self, state: Tensor) -> Tensor:
        r"""Return :math:`\varphi''(x) / \varphi'(x)`, shape of ``state``."""

    def inverse_slope(self, state: Tensor) -> Tensor:
        r"""Return :math:`1 / \varphi'(x)`, the slope of the inverse, shape of ``state``."""
        return self.sign * torch.exp(-self.log_slope(state))

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
        return self._slope(state) * vector

    def pull(self, state: Tensor, covector: Tensor) -> Tensor:
        r"""Return :math:`\varphi' w`; see ``Bijection.pull``."""
        return self._slope(state) * covector

    def inverse_push(self, state: Tensor, vector: Tensor) -> Tensor:
        r"""Return :math:`v / \varphi'`; see ``Bijection.inverse_push``."""
        return vector * self.inverse_slope(state)

    def inverse_pull(self, state: Tensor, covector: Tensor) -> Tensor:
        r"""Return :math:`w / \varphi'`; see ``Bijection.inverse_pull``."""
        return self.inverse_push(state, covector)

    def hessian_contraction(self, state: Tensor, noise: Tensor) -> Tensor:
        r"""Return :math:`\varphi''(x_i) \sum_r G_{ir}^2`, shape of ``state``; see ``Bijection.hessian_contraction``."""
        return self._slope(state) * self.log_slope_derivative(state) * noise.square().sum(-1)

    def _slope(self, state: Tensor) -> Tensor:
        return self.sign * torch.exp(self.log_slope(state))
