r"""The harmonic potential.

.. math:: U(x) = \tfrac12 k |x|^2
"""

import dataclasses

from torch import Tensor

from simulations.potentials.potential import Potential
from simulations.validation import check_positive

__all__ = ["HarmonicPotential"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class HarmonicPotential(Potential):
    """An isotropic spring to the origin.

    Arguments:
        stiffness: Spring constant :math:`k`, [energy / length^2].
        dimension: Number of position components.

    Raises:
        ValueError: If a parameter is not positive and finite.

    Source:
        Risken, The Fokker-Planck Equation (1989), section 5.3.
    """

    stiffness: float = 1.0
    dimension: int = 1

    def __post_init__(self) -> None:
        check_positive(stiffness=self.stiffness, dimension=self.dimension)

    def energy(self, position: Tensor) -> Tensor:
        """Return the energy, shape ``(...)``; see ``Potential.energy``."""
        return 0.5 * self.stiffness * (position * position).sum(-1)

    def force(self, position: Tensor) -> Tensor:
        """Return the force, shape of ``position``; see ``Potential.force``."""
        return -self.stiffness * position
