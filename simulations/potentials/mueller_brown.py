r"""The potential of Mueller and Brown, three wells along a bent path.

.. math:: U(x, y) = s \sum_{i=1}^4 A_i \exp\left(a_i (x - x_i)^2 + b_i (x - x_i)(y - y_i) + c_i (y - y_i)^2\right)
"""

import dataclasses

import torch
from torch import Tensor

from simulations.potentials.potential import Potential
from simulations.validation import check_positive

__all__ = ["MuellerBrownPotential"]

# A, a, b, c, x and y of each term.
TERMS = (
    (-200.0, -1.0, 0.0, -10.0, 1.0, 0.0),
    (-100.0, -1.0, 0.0, -10.0, 0.0, 0.5),
    (-170.0, -6.5, 11.0, -6.5, -0.5, 1.5),
    (15.0, 0.7, 0.6, 0.7, -1.0, 1.0),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MuellerBrownPotential(Potential):
    r"""Three wells in the plane, the test of searches for paths between states.

    At ``scale`` 1 the minima lie at (-0.558, 1.442), (0.623, 0.028) and (-0.050, 0.467) with energies -146.70,
    -108.17 and -80.77, the two saddles between them at -40.66 and -72.25.

    Arguments:
        scale: Factor :math:`s` on all energies.

    Raises:
        ValueError: If the scale is not positive and finite.

    Source:
        Mueller and Brown, Location of saddle points and minimum energy paths by a constrained simplex optimization
        procedure (1979), table 1.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        check_positive(scale=self.scale)

    @property
    def dimension(self) -> int:
        """Two position components."""
        return 2

    def energy(self, position: Tensor) -> Tensor:
        """Return the energy, shape ``(...)``; see ``Potential.energy``."""
        x, y = position.unbind(-1)
        energy = torch.zeros_like(x)
        for strength, a, b, c, x0, y0 in TERMS:
            dx, dy = x - x0, y - y0
            energy = energy + self.scale * strength * torch.exp(a * dx * dx + b * dx * dy + c * dy * dy)
        return energy

    def force(self, position: Tensor) -> Tensor:
        """Return the force, shape of ``position``; see ``Potential.force``."""
        x, y = position.unbind(-1)
        along_x, along_y = torch.zeros_like(x), torch.zeros_like(y)
        for strength, a, b, c, x0, y0 in TERMS:
            dx, dy = x - x0, y - y0
            term = -self.scale * strength * torch.exp(a * dx * dx + b * dx * dy + c * dy * dy)
            along_x = along_x + term * (2 * a * dx + b * dy)
            along_y = along_y + term * (b * dx + 2 * c * dy)
        return torch.stack([along_x, along_y], -1)
