r"""The Duffing oscillator: forced, damped and noisy.

.. math:: dx = v\,dt, \qquad m\,dv = \left(-\alpha x - \beta x^3 + a \cos \omega t - \gamma m v\right) dt
          + \sqrt{2 \gamma m T}\,dW

With :math:`\alpha < 0` there are two wells, and forcing of moderate strength makes the motion between them chaotic.
"""

import dataclasses

import torch
from torch import Tensor

from physcore.known_moment import KnownMoment
from physcore.law import Gaussian
from physcore.process import Variable
from simulations.potentials.anharmonic import AnharmonicPotential
from simulations.processes.langevin import Langevin
from simulations.stationary_moment import stationary_moment
from simulations.validation import check_finite, check_positive

__all__ = ["Duffing"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Duffing(Langevin):
    r"""A periodically forced particle in an anharmonic trap. Boltzmann's constant is 1.

    Arguments:
        friction: Damping :math:`\gamma`, often :math:`\delta`, [1 / time].
        temperature: Temperature :math:`T` of the noise, [energy].
        mass: Mass :math:`m`, [energy time^2 / length^2].
        stiffness: Linear stiffness :math:`\alpha`, of either sign, [energy / length^2].
        anharmonicity: Cubic stiffness :math:`\beta`, [energy / length^4].
        forcing: Amplitude :math:`a` of the force, [energy / length].
        frequency: Angular frequency :math:`\omega` of the force, [1 / time].
        initial_width: Standard deviation of the Gaussian initial law of position and velocity about the origin.

    Raises:
        ValueError: If stiffness, forcing or frequency is not finite or another parameter not positive and finite.

    Source:
        Guckenheimer and Holmes, Nonlinear Oscillations, Dynamical Systems, and Bifurcations of Vector Fields (1983),
        section 2.2, whose damping, stiffnesses and forcing are the defaults. Departs from it: thermal noise is added.
    """

    friction: float = 0.25
    temperature: float = 0.1
    mass: float = 1.0
    stiffness: float = -1.0
    anharmonicity: float = 1.0
    forcing: float = 0.3
    frequency: float = 1.0
    initial_width: float = 0.5

    variables = (
        Variable("x", long_name="position"),
        Variable("v", long_name="velocity", parity=-1),
    )

    def __post_init__(self) -> None:
        check_finite(stiffness=self.stiffness, forcing=self.forcing, frequency=self.frequency)
        check_positive(
            friction=self.friction,
            temperature=self.temperature,
            mass=self.mass,
            anharmonicity=self.anharmonicity,
            initial_width=self.initial_width,
        )

    @property
    def potential(self) -> AnharmonicPotential:
        """The potential of the force at rest."""
        return AnharmonicPotential(stiffness=self.stiffness, anharmonicity=self.anharmonicity)

    @property
    def known_moments(self) -> tuple[KnownMoment, ...]:
        """Kinetic energy and virial in the stationary state, known without forcing; see ``Process.known_moments``."""
        if self.forcing != 0:
            return ()
        potential = self.potential
        return (
            stationary_moment(
                "kinetic energy", lambda state: 0.5 * self.mass * state[..., 1].square(), 0.5 * self.temperature
            ),
            stationary_moment(
                "virial", lambda state: -(state[..., :1] * potential.force(state[..., :1])).sum(-1), self.temperature
            ),
        )

    def force(self, position: Tensor, time: Tensor) -> Tensor:
        """Return the force, shape of ``position``; see ``Langevin.force``."""
        pushed = self.forcing * torch.cos(self.frequency * time).to(position.dtype).unsqueeze(-1)
        return pushed - (self.stiffness + self.anharmonicity * position * position) * position

    @property
    def initial_law(self) -> Gaussian:
        """The law at time zero, Gaussian about the origin."""
        covariance = self.initial_width**2 * torch.eye(2, dtype=torch.float64)
        return Gaussian(mean=torch.zeros(2, dtype=torch.float64), covariance=covariance)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw initial states, shape ``(paths, 2)``; see ``Process.sample_initial``."""
        return self.initial_law.sample(paths, generator)

    def initial_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the initial law, shape ``(...)``; see ``Process.initial_log_density``."""
        return self.initial_law.log_density(state.double()).to(state.dtype)
