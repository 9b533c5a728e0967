r"""Overdamped Langevin dynamics, the base of every Brownian particle in a potential.

.. math:: dx = -\frac{1}{\eta} \nabla U(x)\,dt + \sqrt{2 T / \eta}\,dW

Where the potential confines, the stationary law is the Boltzmann law :math:`\propto e^{-U / T}`. Integration by parts
against it gives the virial theorem :math:`\langle x \cdot \nabla U \rangle = d\,T` in :math:`d` dimensions. Boltzmann's
constant is 1.
"""

import abc
import math

import torch
from torch import Tensor

from physcore.known_moment import KnownMoment
from physcore.process import Process
from simulations.potentials.potential import Potential
from simulations.stationary_moment import stationary_moment

__all__ = ["Overdamped"]


class Overdamped(Process):
    r"""A Brownian particle without inertia in a potential.

    Subclasses give ``potential`` and ``sample_initial``, set ``variables`` and hold the parameters below. A force
    beside the potential's that leaves the Boltzmann law stationary may be added to ``drift``.

    Attributes:
        friction: Friction coefficient :math:`\eta`, [energy time / length^2].
        temperature: Temperature :math:`T`, [energy].

    Source:
        Risken, The Fokker-Planck Equation (1989), chapter 5.
    """

    friction: float
    temperature: float

    @property
    @abc.abstractmethod
    def potential(self) -> Potential:
        """The potential."""

    @property
    def known_moments(self) -> tuple[KnownMoment, ...]:
        """The virial in the stationary state, where there is one; see ``Process.known_moments``."""
        if not self.potential.confining:
            return ()
        potential = self.potential
        value = self.dimension * self.temperature
        return (stationary_moment("virial", lambda state: -(state * potential.force(state)).sum(-1), value),)

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the drift, shape of ``state``; see ``Process.drift``."""
        return self.potential.force(state) / self.friction

    def noise(self, time: Tensor) -> Tensor:
        """Return the noise matrix, shape ``(component, component)``; see ``Process.noise``."""
        return math.sqrt(2 * self.temperature / self.friction) * torch.eye(self.dimension, dtype=torch.float64)

    def stationary_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the Boltzmann law up to its normalisation.

        Arguments:
            state: States, shape ``(..., component)``.

        Returns:
            Shape ``(...)``.

        Raises:
            ValueError: If the potential does not confine.
        """
        self._check_confining()
        return -self.potential.energy(state) / self.temperature

    def stationary_score(self, state: Tensor) -> Tensor:
        r"""Return the score of the Boltzmann law, :math:`-\nabla U / T`, shape of ``state``.

        Arguments:
            state: States, shape ``(..., component)``.

        Returns:
            Shape of ``state``, [1 / length].

        Raises:
            ValueError: If the potential does not confine.
        """
        self._check_confining()
        return self.potential.force(state) / self.temperature

    def _check_confining(self) -> None:
        if not self.potential.confining:
            raise ValueError(f"{self.potential!r} does not confine, so there is no stationary law; use one that does.")
