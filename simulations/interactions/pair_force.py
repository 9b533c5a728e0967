r"""The contract of a pair interaction.

.. math:: F_i = \sum_{j \ne i} f(x_i - x_j), \qquad f(-d) = -f(d), \qquad f(d) = 0 \text{ for } |d| \ge r_c

The force is odd, so that momentum is conserved, and vanishes from the cutoff on, so that distant pairs may be left out.
"""

import abc

from torch import Tensor

__all__ = ["PairForce"]


class PairForce(abc.ABC):
    """A conservative force between two particles, a function of their displacement alone.

    Both methods are pure pointwise torch, finite also where two particles coincide.
    """

    @property
    @abc.abstractmethod
    def cutoff(self) -> float:
        """Distance from which on the force vanishes, infinite if it never does, [length]."""

    @abc.abstractmethod
    def force(self, displacement: Tensor) -> Tensor:
        """Return the force on the particle at the tip of the displacement.

        Arguments:
            displacement: Position of the particle minus that of the other, shape ``(..., dimension)``, [length].

        Returns:
            Shape of ``displacement``, [energy / length].
        """

    @abc.abstractmethod
    def energy(self, displacement: Tensor) -> Tensor:
        """Return the energy of the pair.

        Arguments:
            displacement: Shape ``(..., dimension)``, [length].

        Returns:
            Shape ``(...)``, [energy].
        """
