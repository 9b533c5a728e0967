r"""An active Ornstein-Uhlenbeck particle with inertia, in a potential in one dimension.

.. math:: dx = v\,dt, \qquad m\,dv = (-U'(x) - \gamma v + \gamma u)\,dt + \sqrt{2 \gamma T}\,dW_v, \qquad
          du = -\frac{u}{\tau}\,dt + \sqrt{\frac{2 \langle u^2 \rangle}{\tau}}\,dW_u

The self-propulsion :math:`u` is the velocity that a free particle takes on. Without inertia, :math:`m \to 0`, this is
the active Ornstein-Uhlenbeck particle of diffusivity :math:`T / \gamma`. In a stationary state
:math:`\langle x U' \rangle = m \langle v^2 \rangle + \gamma \langle x u \rangle`, and what propels is dissipated,
:math:`\gamma \langle u v \rangle = \gamma \langle v^2 \rangle - \gamma T / m`.
"""

import dataclasses
import math

import torch
from torch import Tensor

from physcore.known_moment import KnownMoment
from physcore.law import Gaussian
from physcore.process import Process, Variable
from simulations.potentials.harmonic import HarmonicPotential
from simulations.potentials.potential import Potential
from simulations.stationary_moment import stationary_moment
from simulations.validation import check_finite, check_positive

__all__ = ["InertialActiveOrnsteinUhlenbeck"]

DEFAULT_POTENTIAL = HarmonicPotential()


@dataclasses.dataclass(frozen=True, kw_only=True)
class InertialActiveOrnsteinUhlenbeck(Process):
    r"""A heavy particle pushed by coloured noise; no noise acts on its position. Boltzmann's constant is 1.

    Arguments:
        potential: Potential :math:`U` in one dimension, [energy].
        mass: Mass :math:`m`, [energy time^2 / length^2].
        friction: Friction coefficient :math:`\gamma`, [energy time / length^2].
        temperature: Temperature :math:`T` of the medium, zero for an athermal particle, [energy].
        persistence_time: Time :math:`\tau` over which the self-propulsion is kept, [time].
        swim_variance: Stationary variance :math:`\langle u^2 \rangle` of the self-propulsion, [length^2 / time^2].
        initial_width: Standard deviation of the initial position about the origin, [length].
        initial_speed: Standard deviation of the initial velocity; the self-propulsion starts in its stationary law,
            [length / time].

    Raises:
        ValueError: If the potential has not one dimension or a parameter is out of range.

    Source:
        Caprini and Marini Bettolo Marconi, Inertial self-propelled particles (2021); Nguyen, Wittmann and Löwen, Active
        Ornstein-Uhlenbeck model for self-propelled particles with inertia (2022). The parameters are ours, the moments
        are derived.
    """

    potential: Potential = DEFAULT_POTENTIAL
    mass: float = 1.0
    friction: float = 1.0
    temperature: float = 0.5
    persistence_time: float = 1.0
    swim_variance: float = 1.0
    initial_width: float = 0.7
    initial_speed: float = 0.7

    variables = (
        Variable("x", long_name="position"),
        Variable("v", long_name="velocity", parity=-1),
        Variable("u", long_name="self-propulsion"),
    )

    def __post_init__(self) -> None:
        if self.potential.dimension != 1:
            raise ValueError(f"`potential` must have one dimension; {self.potential} has {self.potential.dimension}.")
        may_vanish = ("potential", "temperature")
        check_positive(**{name: value for name, value in vars(self).items() if name not in may_vanish})
        check_finite(temperature=self.temperature)
        if self.temperature < 0:
            raise ValueError(f"`temperature` must not be negative; got {self.temperature}.")

    @property
    def known_moments(self) -> tuple[KnownMoment, ...]:
        """The variance of the self-propulsion, and virial and power in every trap; see ``Process.known_moments``."""
        swim = KnownMoment("swim variance", lambda state: state[..., 2].square(), self._swim_variance)
        if not self.potential.confining:
            return (swim,)
        return (
            swim,
            stationary_moment("virial", self._virial, 0.0),
            stationary_moment("power", self._power, self.friction * self.temperature / self.mass),
        )

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the drift, shape of ``state``; see ``Process.drift``."""
        x, v, u = state[..., :1], state[..., 1:2], state[..., 2:]
        acceleration = (self.potential.force(x) + self.friction * (u - v)) * (1 / self.mass)
        return torch.cat([v, acceleration, u * (-1 / self.persistence_time)], -1)

    def noise(self, time: Tensor) -> Tensor:
        """Return the noise matrix, shape ``(3, 2)``, or ``(3, 1)`` at zero temperature; see ``Process.noise``."""
        swim = math.sqrt(2 * self.swim_variance / self.persistence_time)
        if self.temperature == 0:
            return torch.tensor([[0.0], [0.0], [swim]], dtype=torch.float64)
        thermal = math.sqrt(2 * self.friction * self.temperature) / self.mass
        return torch.tensor([[0.0, 0.0], [thermal, 0.0], [0.0, swim]], dtype=torch.float64)

    @property
    def initial_law(self) -> Gaussian:
        """The law at time zero: all components apart, the self-propulsion stationary."""
        variances = [self.initial_width**2, self.initial_speed**2, self.swim_variance]
        covariance = torch.diag(torch.tensor(variances, dtype=torch.float64))
        return Gaussian(mean=torch.zeros(3, dtype=torch.float64), covariance=covariance)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw initial states, shape ``(paths, 3)``; see ``Process.sample_initial``."""
        return self.initial_law.sample(paths, generator)

    def initial_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the initial law, shape ``(...)``; see ``Process.initial_log_density``."""
        return self.initial_law.log_density(state.double()).to(state.dtype)

    def _virial(self, state: Tensor) -> Tensor:
        x, v, u = state.unbind(-1)
        return x * (self.potential.force(state[..., :1])[..., 0] + self.friction * u) + self.mass * v.square()

    def _power(self, state: Tensor) -> Tensor:
        _, v, u = state.unbind(-1)
        return self.friction * (v.square() - u * v)

    def _swim_variance(self, time: Tensor) -> Tensor:
        return torch.full_like(torch.as_tensor(time, dtype=torch.float64), self.swim_variance)
