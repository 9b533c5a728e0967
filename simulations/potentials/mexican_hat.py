r"""The Mexican hat, a double well turned about its barrier.

.. math:: U(x) = E_b \left(|x|^2 / a^2 - 1\right)^2, \qquad x \in \mathbb{R}^2
"""

import dataclasses

from torch import Tensor

from simulations.potentials.potential import Potential
from simulations.validation import check_positive

__all__ = ["MexicanHatPotential"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MexicanHatPotential(Potential):
    """A circular valley around a hill in the plane.

    Arguments:
        barrier: Height :math:`E_b` of the hill above the valley, [energy].
        radius: Radius :math:`a` of the valley, [length].

    Raises:
        ValueError: If a parameter is not positive and finite.

    Source:
        Goldstone, Field theories with superconductor solutions (1961), the potential of a complex field.
    """

    barrier: float = 1.0
    radius: float = 1.0

    def __post_init__(self) -> None:
        check_positive(barrier=self.barrier, radius=self.radius)

    @property
    def dimension(self) -> int:
        """Two position components."""
        return 2

    def energy(self, position: Tensor) -> Tensor:
        """Return the energy, shape ``(...)``; see ``Potential.energy``."""
        excess = (position * position).sum(-1) / self.radius**2 - 1
        return self.barrier * excess * excess

    def force(self, position: Tensor) -> Tensor:
        """Return the force, shape of ``position``; see ``Potential.force``."""
        excess = (position * position).sum(-1, keepdim=True) / self.radius**2 - 1
        return (-4 * self.barrier / self.radius**2) * excess * position
