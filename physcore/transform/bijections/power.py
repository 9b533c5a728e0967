r"""A power of each component.

.. math:: y = x^a, \quad x > 0, \qquad \varphi' = a\,x^{a - 1}, \qquad \varphi'' / \varphi' = \frac{a - 1}{x}
"""

import dataclasses
import math

import torch
from torch import Tensor

from physcore.transform.bijections.elementwise import Elementwise, Jet
from physcore.transform.region import Region

__all__ = ["Power"]

POSITIVE = Region("every component must be positive and finite", lambda x: (x.amin(-1) > 0) & (x.amax(-1) < math.inf))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Power(Elementwise):
    r"""The map :math:`y = x^a` of the positive numbers onto themselves.

    Arguments:
        exponent: :math:`a`, not zero.

    Raises:
        ValueError: If the exponent is zero or not finite.
    """

    exponent: float = 2.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.exponent) or self.exponent == 0:
            raise ValueError(f"`exponent` must be finite and not zero; got {self.exponent}.")

    @property
    def domain(self) -> Region:
        """The positive numbers."""
        return POSITIVE

    @property
    def image(self) -> Region:
        """The positive numbers."""
        return POSITIVE

    @property
    def sign(self) -> float:
        """The sign of the exponent."""
        return math.copysign(1.0, self.exponent)

    def forward(self, state: Tensor) -> Tensor:
        r"""Return :math:`x^a`; see ``Bijection.forward``."""
        self.check_domain(state)
        return torch.pow(state, self.exponent)

    def inverse(self, state: Tensor) -> Tensor:
        r"""Return :math:`y^{1 / a}`; see ``Bijection.inverse``."""
        self.check_image(state)
        return torch.pow(state, 1 / self.exponent)

    def log_slope(self, state: Tensor) -> Tensor:
        r"""Return :math:`\log |a| + (a - 1) \log x`; see ``Elementwise.log_slope``."""
        return math.log(abs(self.exponent)) + (self.exponent - 1) * torch.log(state)

    def log_slope_derivative(self, state: Tensor) -> Tensor:
        r"""Return :math:`(a - 1) / x`; see ``Elementwise.log_slope_derivative``."""
        return (self.exponent - 1) / state

    def inverse_slope(self, state: Tensor) -> Tensor:
        r"""Return :math:`x^{1 - a} / a`; see ``Elementwise.inverse_slope``."""
        return torch.pow(state, 1 - self.exponent) / self.exponent

    def jet(self, state: Tensor) -> Jet:
        r"""Return the value and the derivatives that follow from it; see ``Elementwise.jet``."""
        value = self.forward(state)
        return Jet(value, state / (self.exponent * value), (self.exponent - 1) / state)

    def inverse_jet(self, image: Tensor) -> Jet:
        r"""Return the origin, with the slope :math:`a\,y / x`; see ``Elementwise.inverse_jet``."""
        origin = self.inverse(image)
        return Jet(origin, self.exponent * image / origin, (self.exponent - 1) / origin)

    def slope(self, state: Tensor) -> Tensor:
        r"""Return :math:`a\,x^{a - 1}`; see ``Elementwise.slope``."""
        return self.exponent * torch.pow(state, self.exponent - 1)
