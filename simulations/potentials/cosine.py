r"""The tilted periodic potential.

.. math:: U(x) = -A \cos(2 \pi x / L) - f x
"""

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from simulations.potentials.potential import Potential
from simulations.validation import check_finite, check_positive

__all__ = ["CosinePotential"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CosinePotential(Potential):
    r"""A cosine on a slope in one dimension; the wells vanish where :math:`|f| > 2 \pi A / L`.

    Arguments:
        amplitude: Half the height :math:`A` of the cosine, [energy].
        period: Distance :math:`L` of the wells, [length].
        tilt: Constant force :math:`f`, [energy / length].

    Raises:
        ValueError: If the amplitude or the period is not positive, or a parameter is not finite.

    Source:
        Risken, The Fokker-Planck Equation (1989), chapter 11.
    """

    confining: ClassVar[bool] = False

    amplitude: float = 1.0
    period: float = 2 * math.pi
    tilt: float = 0.0

    def __post_init__(self) -> None:
        check_positive(amplitude=self.amplitude, period=self.period)
        check_finite(tilt=self.tilt)

    @property
    def dimension(self) -> int:
        """One position component."""
        return 1

    @property
    def wavenumber(self) -> float:
        r"""The wavenumber :math:`2 \pi / L`, [1 / length]."""
        return 2 * math.pi / self.period

    def energy(self, position: Tensor) -> Tensor:
        """Return the energy, shape ``(...)``; see ``Potential.energy``."""
        x = position[..., 0]
        return -self.amplitude * torch.cos(self.wavenumber * x) - self.tilt * x

    def force(self, position: Tensor) -> Tensor:
        """Return the force, shape of ``position``; see ``Potential.force``."""
        return self.tilt - (self.amplitude * self.wavenumber) * torch.sin(self.wavenumber * position)
