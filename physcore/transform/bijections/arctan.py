r"""The inverse tangent of each component.

.. math:: y = k \arctan(x / k), \qquad \varphi' = (1 + x^2 / k^2)^{-1}, \qquad
          \varphi'' / \varphi' = -\frac{2 x}{k^2 + x^2}
"""

import dataclasses
import math

import torch
from torch import Tensor

from physcore.transform.bijections.elementwise import Elementwise, in_units
from physcore.transform.region import Region
from physcore.transform.validation import check_scale

__all__ = ["Arctan"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arctan(Elementwise):
    r"""The map :math:`y = k \arctan(x / k)` of the line onto :math:`|y| < k \pi / 2`, the identity near zero.

    Arguments:
        scale: :math:`k > 0`, in the units of :math:`x`.

    Raises:
        ValueError: If the scale is not positive and finite.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        check_scale(self.scale)

    @property
    def image(self) -> Region:
        """The interval between the bounds."""
        bound = 0.5 * math.pi * self.scale
        return Region(f"every component must lie within ({-bound:g}, {bound:g})", lambda y: y.abs().amax(-1) < bound)

    def forward(self, state: Tensor) -> Tensor:
        r"""Return :math:`k \arctan(x / k)`; see ``Bijection.forward``."""
        self.check_domain(state)
        return self.scale * torch.atan(in_units(state, self.scale))

    def inverse(self, state: Tensor) -> Tensor:
        r"""Return :math:`k \tan(y / k)`; see ``Bijection.inverse``."""
        self.check_image(state)
        return self.scale * torch.tan(in_units(state, self.scale))

    def log_slope(self, state: Tensor) -> Tensor:
        r"""Return :math:`-\log(1 + x^2 / k^2)`; see ``Elementwise.log_slope``."""
        return -torch.log1p(in_units(state, self.scale).square())

    def log_slope_derivative(self, state: Tensor) -> Tensor:
        r"""Return :math:`-2 x / (k^2 + x^2)`; see ``Elementwise.log_slope_derivative``."""
        return -2 * state / (self.scale**2 + state.square())

    def slope(self, state: Tensor) -> Tensor:
        r"""Return :math:`(1 + x^2 / k^2)^{-1}`; see ``Elementwise.slope``."""
        return 1 / (1 + in_units(state, self.scale).square())

    def inverse_slope(self, state: Tensor) -> Tensor:
        r"""Return :math:`1 + x^2 / k^2`; see ``Elementwise.inverse_slope``."""
        return 1 + in_units(state, self.scale).square()
