r"""Underdamped Langevin dynamics, the base of every process with inertia and a constant friction.

.. math:: dx = v\,dt, \qquad m\,dv = F(x, t)\,dt - \gamma m v\,dt + \sqrt{2 \gamma m T}\,dW

The state holds the positions :math:`x` first and the velocities :math:`v` after them. Friction and noise keep the
fluctuation-dissipation relation, so a force :math:`F = -\nabla U(x)` has the stationary law
:math:`\propto e^{-(U + m v^2 / 2) / T}`. Boltzmann's constant is 1.
"""

import abc
import math

import torch
from torch import Tensor

from physcore.process import Process

__all__ = ["Langevin"]


class Langevin(Process):
    r"""A particle with inertia, friction, thermal noise and any force of its position and of time.

    Subclasses write ``force`` and ``sample_initial``, set ``variables``, positions before velocities, and hold the
    parameters below. Splitting schemes treat the three parts of the motion apart and ask for this class.

    Attributes:
        friction: Rate :math:`\gamma` at which the velocity decorrelates, [1 / time].
        temperature: Temperature :math:`T`, [energy].
        mass: Mass :math:`m`, [energy time^2 / length^2].

    Source:
        Risken, The Fokker-Planck Equation (1989), chapter 10.
    """

    friction: float
    temperature: float
    mass: float

    @abc.abstractmethod
    def force(self, position: Tensor, time: Tensor) -> Tensor:
        """Return the force without friction and noise.

        Arguments:
            position: Positions, shape ``(..., position)``, [length].
            time: Times, shape ``(...)`` or broadcastable to it, [time].

        Returns:
            Force, shape of ``position``, [energy / length].
        """

    @property
    def positions(self) -> int:
        """Number of position components; as many velocities follow them in the state."""
        return self.dimension // 2

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the drift, shape of ``state``; see ``Process.drift``."""
        position, velocity = state[..., : self.positions], state[..., self.positions :]
        return torch.cat([velocity, self.force(position, time) / self.mass - self.friction * velocity], -1)

    def noise(self, time: Tensor) -> Tensor:
        """Return the noise matrix, shape ``(component, position)``; see ``Process.noise``."""
        strength = math.sqrt(2 * self.friction * self.temperature / self.mass)
        kick = strength * torch.eye(self.positions, dtype=torch.float64)
        return torch.cat([torch.zeros_like(kick), kick])
