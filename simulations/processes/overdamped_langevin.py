r"""Overdamped Langevin dynamics in any potential.

.. math:: dx = -\frac{1}{\eta} \nabla U(x)\,dt + \sqrt{2 T / \eta}\,dW

The potential is a parameter, one of the shipped ones or the user's own.
"""

import dataclasses

import torch
from torch import Tensor

from physcore.law import Gaussian
from physcore.process import Variable
from simulations.potentials.anharmonic import AnharmonicPotential
from simulations.potentials.potential import Potential
from simulations.processes.overdamped import Overdamped
from simulations.validation import check_finite, check_positive

__all__ = ["OverdampedLangevin"]

DEFAULT_POTENTIAL = AnharmonicPotential(dimension=2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OverdampedLangevin(Overdamped):
    r"""A Brownian particle in any potential. Boltzmann's constant is 1.

    Arguments:
        potential: Potential :math:`U`.
        friction: Friction coefficient :math:`\eta`, [energy time / length^2].
        temperature: Temperature :math:`T`, [energy].
        initial_position: Centre of the Gaussian initial law, the origin when None, [length].
        initial_width: Standard deviation of the initial law in each direction, [length].

    Raises:
        ValueError: If a parameter is out of range or the position has not the dimension of the potential.

    Source:
        Risken, The Fokker-Planck Equation (1989), chapter 5.
    """

    potential: Potential = DEFAULT_POTENTIAL
    friction: float = 1.0
    temperature: float = 1.0
    initial_position: tuple[float, ...] | None = None
    initial_width: float = 0.5

    def __post_init__(self) -> None:
        check_positive(friction=self.friction, temperature=self.temperature, initial_width=self.initial_width)
        d = self.potential.dimension
        position = (0.0,) * d if self.initial_position is None else tuple(map(float, self.initial_position))
        if len(position) != d:
            raise ValueError(f"`initial_position` must have {d} entries, one for each dimension; got {position}.")
        for entry in position:
            check_finite(initial_position=entry)
        object.__setattr__(self, "initial_position", position)

    @property
    def variables(self) -> tuple[Variable, ...]:  # type: ignore[override]
        """One variable for each dimension of the potential, ``x0``, ``x1``, ..."""
        return tuple(
            Variable(f"x{i}", long_name=f"position {i}", symbol=f"x_{{{i}}}") for i in range(self.potential.dimension)
        )

    @property
    def initial_law(self) -> Gaussian:
        """The law at time zero, an isotropic Gaussian."""
        covariance = self.initial_width**2 * torch.eye(self.dimension, dtype=torch.float64)
        return Gaussian(mean=torch.tensor(self.initial_position, dtype=torch.float64), covariance=covariance)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw initial states, shape ``(paths, component)``; see ``Process.sample_initial``."""
        return self.initial_law.sample(paths, generator)

    def initial_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the initial law, shape ``(...)``; see ``Process.initial_log_density``."""
        return self.initial_law.log_density(state.double()).to(state.dtype)
