r"""Soft spheres that repel with a Gaussian energy.

.. math:: u(r) = A\,e^{-r^2 / 2 r_0^2}, \qquad f(d) = \frac{A}{r_0^2}\,d\,e^{-|d|^2 / 2 r_0^2}
"""

import dataclasses
import math

import torch
from torch import Tensor

from simulations.interactions.pair_force import PairForce
from simulations.validation import check_positive

__all__ = ["GaussianRepulsion"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GaussianRepulsion(PairForce):
    r"""A smooth repulsion without a cutoff; coincident particles exert none on each other.

    Arguments:
        strength: Energy :math:`A` of two particles at the same place, [energy].
        range: Width :math:`r_0` of the Gaussian, [length].

    Raises:
        ValueError: If a parameter is not positive and finite.

    Source:
        Boffi and Vanden-Eijnden, Probability flow solution of the Fokker-Planck equation (2023), soft spheres.
    """

    strength: float = 1.0
    range: float = 1.0

    def __post_init__(self) -> None:
        check_positive(strength=self.strength, range=self.range)

    @property
    def cutoff(self) -> float:
        """Infinite."""
        return math.inf

    def force(self, displacement: Tensor) -> Tensor:
        """Return the force, shape of ``displacement``; see ``PairForce.force``."""
        return (self.energy(displacement) / self.range**2).unsqueeze(-1) * displacement

    def energy(self, displacement: Tensor) -> Tensor:
        """Return the energy, shape ``(...)``; see ``PairForce.energy``."""
        return self.strength * torch.exp((displacement * displacement).sum(-1) * (-0.5 / self.range**2))
