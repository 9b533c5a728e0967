r"""An anharmonic trap: a spring that stiffens.

.. math:: U(x) = \tfrac12 k |x|^2 + \tfrac14 c |x|^4
"""

import dataclasses

from torch import Tensor

from simulations.potentials.potential import Potential
from simulations.validation import check_finite, check_positive

__all__ = ["AnharmonicPotential"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnharmonicPotential(Potential):
    """An isotropic trap with a harmonic and a quartic part.

    Arguments:
        stiffness: :math:`k`, [energy / length^2]; zero for a purely quartic trap, negative for a hill in the middle.
        anharmonicity: :math:`c`, [energy / length^4].
        dimension: Number of position components.

    Raises:
        ValueError: If a parameter is not finite, or the anharmonicity or the dimension is not positive.

    Source:
        Landau and Lifshitz, Mechanics (1976), section 28.
    """

    stiffness: float = 0.0
    anharmonicity: float = 1.0
    dimension: int = 1

    def __post_init__(self) -> None:
        check_finite(stiffness=self.stiffness)
        check_positive(anharmonicity=self.anharmonicity, dimension=self.dimension)

    def energy(self, position: Tensor) -> Tensor:
        """Return the energy, shape ``(...)``; see ``Potential.energy``."""
        squared = _squared_length(position)
        return 0.5 * self.stiffness * squared + 0.25 * self.anharmonicity * squared * squared

    def force(self, position: Tensor) -> Tensor:
        """Return the force, shape of ``position``; see ``Potential.force``."""
        return -(self.stiffness + self.anharmonicity * _squared_length(position).unsqueeze(-1)) * position


def _squared_length(position: Tensor) -> Tensor:
    # Term by term and not as a sum along an axis, whose rounding depends on the layout in memory.
    total = position[..., 0] * position[..., 0]
    for x in position.unbind(-1)[1:]:
        total = total + x * x
    return total
