r"""The quartic double well.

.. math:: U(x) = E_b \left((x / a)^2 - 1\right)^2
"""

import dataclasses

from torch import Tensor

from simulations.potentials.potential import Potential
from simulations.validation import check_positive

__all__ = ["DoubleWellPotential"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DoubleWellPotential(Potential):
    r"""Two minima at :math:`\pm a` in one dimension, with a barrier at the origin between them.

    Arguments:
        barrier: Barrier height :math:`E_b`, [energy].
        minimum: Distance :math:`a` of the minima from the barrier, [length].

    Raises:
        ValueError: If a parameter is not positive and finite.

    Source:
        Kramers, Brownian motion in a field of force (1940).
    """

    barrier: float = 1.0
    minimum: float = 1.0

    def __post_init__(self) -> None:
        check_positive(barrier=self.barrier, minimum=self.minimum)

    @property
    def dimension(self) -> int:
        """One position component."""
        return 1

    def energy(self, position: Tensor) -> Tensor:
        """Return the energy, shape ``(...)``; see ``Potential.energy``."""
        scaled = position[..., 0] / self.minimum
        excess = scaled * scaled - 1
        return self.barrier * excess * excess

    def force(self, position: Tensor) -> Tensor:
        """Return the force, shape of ``position``; see ``Potential.force``."""
        scaled = position / self.minimum
        return (4 * self.barrier / self.minimum) * (scaled - scaled * scaled * scaled)
