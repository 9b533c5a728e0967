r"""Underdamped Langevin dynamics in any potential.

.. math:: dx = v\,dt, \qquad m\,dv = -\nabla U(x)\,dt - \gamma m v\,dt + \sqrt{2 \gamma m T}\,dW

The potential is a parameter, one of the shipped ones or the user's own. Where it confines, the stationary law is
:math:`\propto e^{-(U + m |v|^2 / 2) / T}`.
"""

import dataclasses

import torch
from torch import Tensor

from physcore.known_moment import KnownMoment
from physcore.law import Gaussian
from physcore.process import Variable
from simulations.potentials.double_well import DoubleWellPotential
from simulations.potentials.potential import Potential
from simulations.processes.langevin import Langevin
from simulations.stationary_moment import stationary_moment
from simulations.validation import check_finite, check_positive

__all__ = ["UnderdampedLangevin"]

DEFAULT_POTENTIAL = DoubleWellPotential()


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnderdampedLangevin(Langevin):
    r"""A particle with inertia in any potential, its velocity thermal from the start. Boltzmann's constant is 1.

    Arguments:
        potential: Potential :math:`U`.
        friction: Rate :math:`\gamma` at which the velocity decorrelates, [1 / time].
        temperature: Temperature :math:`T`, [energy].
        mass: Mass :math:`m`, [energy time^2 / length^2].
        initial_position: Centre of the Gaussian initial law of the position, the origin when None, [length].
        initial_width: Standard deviation of the initial positions in each direction, [length].

    Raises:
        ValueError: If a parameter is out of range or the position has not the dimension of the potential.

    Source:
        Kramers, Brownian motion in a field of force (1940); Risken, The Fokker-Planck Equation (1989), chapter 10.
    """

    potential: Potential = DEFAULT_POTENTIAL
    friction: float = 1.0
    temperature: float = 0.5
    mass: float = 1.0
    initial_position: tuple[float, ...] | None = None
    initial_width: float = 0.5

    def __post_init__(self) -> None:
        check_positive(
            friction=self.friction, temperature=self.temperature, mass=self.mass, initial_width=self.initial_width
        )
        d = self.potential.dimension
        position = (0.0,) * d if self.initial_position is None else tuple(map(float, self.initial_position))
        if len(position) != d:
            raise ValueError(f"`initial_position` must have {d} entries, one for each dimension; got {position}.")
        for entry in position:
            check_finite(initial_position=entry)
        object.__setattr__(self, "initial_position", position)

    @property
    def variables(self) -> tuple[Variable, ...]:  # type: ignore[override]
        """Positions ``x0``, ``x1``, ... and velocities ``v0``, ``v1``, ...; without number in one dimension."""
        d = self.potential.dimension
        numbers = [""] if d == 1 else [str(i) for i in range(d)]
        return tuple(
            Variable(
                f"{letter}{i}",
                long_name=f"{name} {i}".strip(),
                symbol=f"{letter}_{{{i}}}" if i else "",
                parity=parity,
            )
            for letter, name, parity in (("x", "position", 1), ("v", "velocity", -1))
            for i in numbers
        )

    @property
    def known_moments(self) -> tuple[KnownMoment, ...]:
        """Kinetic energy and virial in the stationary state, where there is one; see ``Process.known_moments``."""
        if not self.potential.confining:
            return ()
        d, potential = self.positions, self.potential

        def kinetic(state: Tensor) -> Tensor:
            return 0.5 * self.mass * state[..., d:].square().sum(-1)

        def virial(state: Tensor) -> Tensor:
            return -(state[..., :d] * potential.force(state[..., :d])).sum(-1)

        return (
            stationary_moment("kinetic energy", kinetic, 0.5 * d * self.temperature),
            stationary_moment("virial", virial, d * self.temperature),
        )

    def force(self, position: Tensor, time: Tensor) -> Tensor:
        """Return the force of the potential, shape of ``position``; see ``Langevin.force``."""
        return self.potential.force(position)

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
        position, velocity = state[..., : self.positions], state[..., self.positions :]
        return -(self.potential.energy(position) + 0.5 * self.mass * velocity.square().sum(-1)) / self.temperature

    def stationary_score(self, state: Tensor) -> Tensor:
        """Return the score of the Boltzmann law, shape of ``state``.

        Arguments:
            state: States, shape ``(..., component)``.

        Returns:
            Shape of ``state``, units 1 / [state].

        Raises:
            ValueError: If the potential does not confine.
        """
        self._check_confining()
        position, velocity = state[..., : self.positions], state[..., self.positions :]
        return torch.cat([self.potential.force(position), -self.mass * velocity], -1) / self.temperature

    def _check_confining(self) -> None:
        if not self.potential.confining:
            raise ValueError(f"{self.potential!r} does not confine, so there is no stationary law; use one that does.")

    @property
    def initial_law(self) -> Gaussian:
        """The law at time zero, Gaussian in the position and thermal in the velocity."""
        d = self.positions
        mean = torch.tensor((*(self.initial_position or ()), *(0.0,) * d), dtype=torch.float64)
        variances = [self.initial_width**2] * d + [self.temperature / self.mass] * d
        return Gaussian(mean=mean, covariance=torch.diag(torch.tensor(variances, dtype=torch.float64)))

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw initial states, shape ``(paths, component)``; see ``Process.sample_initial``."""
        return self.initial_law.sample(paths, generator)

    def initial_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the initial law, shape ``(...)``; see ``Process.initial_log_density``."""
        return self.initial_law.log_density(state.double()).to(state.dtype)
