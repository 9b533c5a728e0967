r"""The inverse hyperbolic sine of each component.

.. math:: y = k \operatorname{arsinh}(x / k), \qquad \varphi' = (1 + x^2 / k^2)^{-1/2}, \qquad
          \varphi'' / \varphi' = -\frac{x}{k^2 + x^2}
"""

import dataclasses

import torch
from torch import Tensor

from physcore.inverse_sinh import inverse_sinh
from physcore.transform.bijections.elementwise import Elementwise, in_units
from physcore.transform.region import transformed
from physcore.transform.validation import check_scale

__all__ = ["Arcsinh"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arcsinh(Elementwise):
    r"""The map :math:`y = k \operatorname{arsinh}(x / k)` of the line onto itself, which takes in heavy tails.

    Arguments:
        scale: :math:`k > 0`, in the units of :math:`x`.

    Raises:
        ValueError: If the scale is not positive and finite.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        check_scale(self.scale)

    def forward(self, state: Tensor) -> Tensor:
        r"""Return :math:`k \operatorname{arsinh}(x / k)`; see ``Bijection.forward``."""
        self.check_domain(state)
        return self.scale * _arsinh(in_units(state, self.scale))

    def inverse(self, state: Tensor) -> Tensor:
        r"""Return :math:`k \sinh(y / k)`; see ``Bijection.inverse``."""
        self.check_image(state)
        return self.scale * _sinh(in_units(state, self.scale))

    def log_slope(self, state: Tensor) -> Tensor:
        r"""Return :math:`-\log(1 + x^2 / k^2) / 2`; see ``Elementwise.log_slope``."""
        return -0.5 * torch.log1p(in_units(state, self.scale).square())

    def log_slope_derivative(self, state: Tensor) -> Tensor:
        r"""Return :math:`-x / (k^2 + x^2)`; see ``Elementwise.log_slope_derivative``."""
        return -state / (self.scale**2 + state.square())

    def slope(self, state: Tensor) -> Tensor:
        r"""Return :math:`(1 + x^2 / k^2)^{-1/2}`; see ``Elementwise.slope``."""
        return torch.rsqrt(1 + in_units(state, self.scale).square())

    def inverse_slope(self, state: Tensor) -> Tensor:
        r"""Return :math:`(1 + x^2 / k^2)^{1/2}`; see ``Elementwise.inverse_slope``."""
        return torch.sqrt(1 + in_units(state, self.scale).square())


def _sinh(values: Tensor) -> Tensor:
    # torch.sinh rounds a value by where it stands among the others.
    return 0.5 * (torch.expm1(values) - torch.expm1(-values))


def _arsinh(values: Tensor) -> Tensor:
    # A transform of functions is to see the one operation, whose derivative at zero is known.
    return torch.asinh(values) if transformed() else inverse_sinh(values)
