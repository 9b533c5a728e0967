r"""Soft discs that repel like springs where they overlap.

.. math:: u(r) = \tfrac12 k (\sigma - r)^2, \qquad f(d) = k (\sigma - r)\,\frac{d}{r} \quad (r = |d| < \sigma)
"""

import dataclasses

import torch
from torch import Tensor

from simulations.interactions.pair_force import PairForce
from simulations.validation import check_positive

__all__ = ["HarmonicRepulsion"]

# Closer than this, in diameters, the direction of the force fades: coincident particles have none.
SOFTENED = 1e-6


@dataclasses.dataclass(frozen=True, kw_only=True)
class HarmonicRepulsion(PairForce):
    r"""A harmonic repulsion between overlapping discs or spheres.

    Arguments:
        stiffness: Spring constant :math:`k`, [energy / length^2].
        diameter: Distance :math:`\sigma` of two particles in contact, [length].

    Raises:
        ValueError: If a parameter is not positive and finite.

    Error:
        Below 1e-6 diameters the force is taken as linear in the displacement, so that it is zero, and not undefined,
        where two particles coincide.

    Source:
        Fily and Marchetti, Athermal phase separation of self-propelled particles with no alignment (2012).
    """

    stiffness: float = 1.0
    diameter: float = 1.0

    def __post_init__(self) -> None:
        check_positive(stiffness=self.stiffness, diameter=self.diameter)

    @property
    def cutoff(self) -> float:
        """The diameter."""
        return self.diameter

    def force(self, displacement: Tensor) -> Tensor:
        """Return the force, shape of ``displacement``; see ``PairForce.force``."""
        squared = (displacement * displacement).sum(-1, keepdim=True)
        distance = squared.clamp_min((SOFTENED * self.diameter) ** 2).sqrt()
        return self.stiffness * torch.relu(self.diameter / distance - 1) * displacement

    def energy(self, displacement: Tensor) -> Tensor:
        """Return the energy, shape ``(...)``; see ``PairForce.energy``."""
        distance = (displacement * displacement).sum(-1).clamp_min((SOFTENED * self.diameter) ** 2).sqrt()
        return 0.5 * self.stiffness * torch.relu(self.diameter - distance).square()
