r"""The BAOAB splitting of Langevin dynamics.

.. math:: x \leftarrow x + \tfrac{h}{2} v, \qquad
          v \leftarrow e^{-\gamma h} v + \sqrt{\tfrac{T}{m} (1 - e^{-2 \gamma h})}\,\xi, \qquad
          x \leftarrow x + \tfrac{h}{2} v

between two half kicks: B kicks, A moves, O mixes the velocities.
"""

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from simulations.integrators.langevin_splitting import LangevinSplitting
from simulations.processes.langevin import Langevin

__all__ = ["BAOAB"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BAOAB(LangevinSplitting):
    r"""BAOAB, for averages over the positions of an underdamped particle at large steps.

    Error:
        Strong order 1, weak order 2. In a harmonic trap of frequency :math:`\omega` the stationary law of the position
        is exact, :math:`\langle x^2 \rangle = T / (m \omega^2)`, that of the velocity too narrow:
        :math:`\langle v^2 \rangle = (T / m) (1 - \omega^2 h^2 / 4)`, for every friction. Stable for
        :math:`\omega h < 2`.

    Source:
        Leimkuhler and Matthews, Rational construction of stochastic numerical methods for molecular sampling (2013).
    """

    strong_order: ClassVar[float] = 1.0
    weak_order: ClassVar[float] = 2.0
    noise_type: ClassVar[str] = "additive"
    three_point: ClassVar[bool] = True

    def free_motion(
        self, process: Langevin, position: Tensor, velocity: Tensor, dt: float, normals: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return positions and velocities after A, O and A; see ``LangevinSplitting.free_motion``."""
        kept = math.exp(-process.friction * dt)
        width = math.sqrt(-math.expm1(-2 * process.friction * dt) * process.temperature / process.mass)
        position = torch.add(position, velocity, alpha=dt / 2)
        velocity = kept * velocity + width * normals
        return torch.add(position, velocity, alpha=dt / 2), velocity
