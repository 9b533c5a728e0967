r"""An active Ornstein-Uhlenbeck particle in a potential, in one dimension.

.. math:: dx = (-U'(x) + v)\,dt + \sqrt{2 D}\,dW_x, \qquad
          dv = -\frac{v}{\tau}\,dt + \sqrt{\frac{2 \langle v^2 \rangle}{\tau}}\,dW_v

The self-propulsion :math:`v` is an Ornstein-Uhlenbeck process of persistence time :math:`\tau`. In the spring
:math:`U = k x^2 / 2` all moments are known; in every trap :math:`\langle x U' \rangle - \langle x v \rangle = D`.
"""

import dataclasses
import math

import torch
from torch import Tensor

from physcore.known_moment import KnownMoment
from physcore.law import Gaussian
from physcore.process import Process, Variable
from simulations.persistent_motion import relaxed, trapped_variance
from simulations.potentials.harmonic import HarmonicPotential
from simulations.potentials.potential import Potential
from simulations.stationary_moment import stationary_moment
from simulations.validation import check_finite, check_positive

__all__ = ["ActiveOrnsteinUhlenbeck"]

DEFAULT_POTENTIAL = HarmonicPotential()


@dataclasses.dataclass(frozen=True, kw_only=True)
class ActiveOrnsteinUhlenbeck(Process):
    r"""A particle pushed by coloured noise; its mobility is 1, so that forces are velocities. Dimensionless units.

    Arguments:
        potential: Potential :math:`U` in one dimension, [length^2 / time].
        persistence_time: Time :math:`\tau` over which the self-propulsion is kept, [time].
        swim_variance: Stationary variance :math:`\langle v^2 \rangle` of the self-propulsion, [length^2 / time^2].
        diffusivity: Thermal diffusivity :math:`D`, zero for an athermal particle, [length^2 / time].
        initial_width: Standard deviation of the initial position about the origin; the self-propulsion starts in its
            stationary law, [length].

    Raises:
        ValueError: If the potential has not one dimension or a parameter is out of range.

    Source:
        Szamel, Self-propelled particle in an external potential: existence of an effective temperature (2014); Martin
        et al., Statistical mechanics of active Ornstein-Uhlenbeck particles (2021). The parameters are ours; moments
        with thermal noise are derived.
    """

    potential: Potential = DEFAULT_POTENTIAL
    persistence_time: float = 1.0
    swim_variance: float = 1.0
    diffusivity: float = 0.1
    initial_width: float = 1.0

    variables = (
        Variable("x", long_name="position"),
        Variable("v", long_name="self-propulsion"),
    )

    def __post_init__(self) -> None:
        if self.potential.dimension != 1:
            raise ValueError(f"`potential` must have one dimension; {self.potential} has {self.potential.dimension}.")
        check_positive(
            persistence_time=self.persistence_time, swim_variance=self.swim_variance, initial_width=self.initial_width
        )
        check_finite(diffusivity=self.diffusivity)
        if self.diffusivity < 0:
            raise ValueError(f"`diffusivity` must not be negative; got {self.diffusivity}.")

    @property
    def known_moments(self) -> tuple[KnownMoment, ...]:
        """The virial in every trap, and in a spring all second moments; see ``Process.known_moments``."""
        moments = [KnownMoment("swim variance", lambda state: state[..., 1].square(), self._swim_variance)]
        if self.potential.confining:
            moments.append(stationary_moment("virial", self._virial, self.diffusivity))
        if isinstance(self.potential, HarmonicPotential):
            moments.append(KnownMoment("swim pressure", lambda state: state.prod(-1), self._swim_pressure))
            moments.append(KnownMoment("variance", lambda state: state[..., 0].square(), self._variance))
        return tuple(moments)

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the drift, shape of ``state``; see ``Process.drift``."""
        x, v = state[..., :1], state[..., 1:]
        return torch.cat([self.potential.force(x) + v, v * (-1 / self.persistence_time)], -1)

    def noise(self, time: Tensor) -> Tensor:
        """Return the noise matrix, shape ``(2, 2)``, or ``(2, 1)`` at zero diffusivity; see ``Process.noise``."""
        swim = math.sqrt(2 * self.swim_variance / self.persistence_time)
        if self.diffusivity == 0:
            return torch.tensor([[0.0], [swim]], dtype=torch.float64)
        return torch.tensor([[math.sqrt(2 * self.diffusivity), 0.0], [0.0, swim]], dtype=torch.float64)

    @property
    def initial_law(self) -> Gaussian:
        """The law at time zero: position and self-propulsion apart, the latter stationary."""
        variances = torch.tensor([self.initial_width**2, self.swim_variance], dtype=torch.float64)
        return Gaussian(mean=torch.zeros(2, dtype=torch.float64), covariance=torch.diag(variances))

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw initial states, shape ``(paths, 2)``; see ``Process.sample_initial``."""
        return self.initial_law.sample(paths, generator)

    def initial_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the initial law, shape ``(...)``; see ``Process.initial_log_density``."""
        return self.initial_law.log_density(state.double()).to(state.dtype)

    def _virial(self, state: Tensor) -> Tensor:
        x, v = state.unbind(-1)
        return -x * (self.potential.force(state[..., :1])[..., 0] + v)

    @property
    def _stiffness(self) -> float:
        return float(self.potential.stiffness) if isinstance(self.potential, HarmonicPotential) else math.nan

    def _swim_variance(self, time: Tensor) -> Tensor:
        return torch.full_like(torch.as_tensor(time, dtype=torch.float64), self.swim_variance)

    def _swim_pressure(self, time: Tensor) -> Tensor:
        time = torch.as_tensor(time, dtype=torch.float64)
        return self.swim_variance * relaxed(time, self._stiffness + 1 / self.persistence_time)

    def _variance(self, time: Tensor) -> Tensor:
        return trapped_variance(
            time,
            stiffness=self._stiffness,
            memory_rate=1 / self.persistence_time,
            push_variance=self.swim_variance,
            diffusivity=self.diffusivity,
            initial=self.initial_width**2,
        )
