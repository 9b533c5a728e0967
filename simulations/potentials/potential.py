r"""The contract of a potential.

.. math:: F(x) = -\nabla U(x)

A potential is written once and serves overdamped and underdamped motion alike. Its energy is enough: the force
follows by automatic differentiation unless it is given.
"""

import abc
from typing import ClassVar

import torch
from torch import Tensor

__all__ = ["Potential"]


class Potential(abc.ABC):
    """A potential energy in any number of dimensions.

    Subclasses give ``dimension`` and ``energy``, and ``force`` where its closed form is simple. Parameters are best
    held as fields of a frozen, keyword-only dataclass. A potential registered in the group below is chosen by name
    in a configuration, ``potential: {name: double-well, barrier: 2.0}``.

    Attributes:
        group: Entry point group under which potentials are registered.
        confining: Whether the Boltzmann law can be normalised at every temperature.
    """

    group: ClassVar[str] = "physcore.potentials"
    confining: ClassVar[bool] = True

    @property
    @abc.abstractmethod
    def dimension(self) -> int:
        """Number of position components."""

    @abc.abstractmethod
    def energy(self, position: Tensor) -> Tensor:
        """Return the potential energy :math:`U(x)`.

        Arguments:
            position: Positions, shape ``(..., position)``, [length].

        Returns:
            Shape ``(...)``, [energy].
        """

    def force(self, position: Tensor) -> Tensor:
        r"""Return the force :math:`-\nabla U(x)`, by reverse-mode autodiff of the energy.

        Arguments:
            position: Positions, shape ``(..., position)``, [length].

        Returns:
            Shape of ``position``, [energy / length].
        """
        # The energy of a state depends on no other state, so the gradient of the sum holds that of each.
        gradient: Tensor = torch.func.grad(lambda x: self.energy(x).sum())(position)
        return -gradient
