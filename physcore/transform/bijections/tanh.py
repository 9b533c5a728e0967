r"""The hyperbolic tangent of each component.

.. math:: y = k \tanh(x / k), \qquad \varphi' = \operatorname{sech}^2(x / k), \qquad
          \varphi'' / \varphi' = -\tfrac{2}{k} \tanh(x / k)
"""

import dataclasses
import math

import torch
from torch import Tensor

from physcore.transform.bijections.elementwise import Elementwise, Jet, in_units
from physcore.transform.region import Region
from physcore.transform.validation import check_scale

__all__ = ["Tanh"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tanh(Elementwise):
    r"""The map :math:`y = k \tanh(x / k)` of the line onto :math:`-k < y < k`, the identity near zero.

    Arguments:
        scale: :math:`k > 0`, in the units of :math:`x`.

    Raises:
        ValueError: If the scale is not positive and finite.

    Error:
        Beyond x = 19 k in float64, 9 k in float32, the value rounds to its bound, which has no inverse.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        check_scale(self.scale)

    @property
    def image(self) -> Region:
        """The interval between the bounds."""
        bound = self.scale
        return Region(f"every component must lie within ({-bound:g}, {bound:g})", lambda y: y.abs().amax(-1) < bound)

    def forward(self, state: Tensor) -> Tensor:
        r"""Return :math:`k \tanh(x / k)`; see ``Bijection.forward``."""
        self.check_domain(state)
        return self.scale * torch.tanh(in_units(state, self.scale))

    def inverse(self, state: Tensor) -> Tensor:
        r"""Return :math:`k \operatorname{artanh}(y / k)`; see ``Bijection.inverse``."""
        self.check_image(state)
        scaled = in_units(state, self.scale)
        return (0.5 * self.scale) * (torch.log1p(scaled) - torch.log1p(-scaled))

    def log_slope(self, state: Tensor) -> Tensor:
        r"""Return :math:`\log \operatorname{sech}^2(x / k)`; see ``Elementwise.log_slope``."""
        scaled = (2 / self.scale) * state.abs()
        return 2 * math.log(2) - scaled - 2 * torch.log1p(torch.exp(-scaled))

    def log_slope_derivative(self, state: Tensor) -> Tensor:
        r"""Return :math:`-2 \tanh(x / k) / k`; see ``Elementwise.log_slope_derivative``."""
        return (-2 / self.scale) * torch.tanh(in_units(state, self.scale))

    def inverse_slope(self, state: Tensor) -> Tensor:
        r"""Return :math:`\cosh^2(x / k)`; see ``Elementwise.inverse_slope``."""
        decay = torch.exp((-2 / self.scale) * state.abs())
        return 0.25 * (1 + decay).square() / decay

    def jet(self, state: Tensor) -> Jet:
        """Return the value and the derivatives that follow from it; see ``Elementwise.jet``."""
        value = self.forward(state)
        return Jet(value, self.inverse_slope(state), (-2 / self.scale**2) * value)

    def inverse_jet(self, image: Tensor) -> Jet:
        r"""Return the origin, with the slope :math:`1 - y^2 / k^2`; see ``Elementwise.inverse_jet``."""
        scaled = in_units(image, self.scale)
        return Jet(self.inverse(image), (1 - scaled) * (1 + scaled), (-2 / self.scale) * scaled)
