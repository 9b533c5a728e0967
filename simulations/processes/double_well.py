r"""Overdamped motion in a double well.

.. math:: dx = -\frac{1}{\eta} U'(x)\,dt + \sqrt{2 T / \eta}\,dW, \qquad U(x) = E_b \left((x / a)^2 - 1\right)^2

Two minima at :math:`\pm a` are separated by a barrier of height :math:`E_b`; the stationary law is the Boltzmann
law :math:`\propto e^{-U / T}`.
"""

import dataclasses
import functools
import math

import scipy.special
import torch
from torch import Tensor

from physcore.known_moment import KnownMoment
from physcore.law import Gaussian
from physcore.process import Process, Variable
from simulations.stationary_moment import stationary_moment

__all__ = ["DoubleWell"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DoubleWell(Process):
    r"""Overdamped Brownian motion in a quartic double well, started at the barrier. Boltzmann's constant is 1.

    Arguments:
        barrier: Barrier height :math:`E_b`, [energy].
        minimum: Distance :math:`a` of the minima from the barrier, [length].
        temperature: Temperature :math:`T`, [energy].
        friction: Friction coefficient :math:`\eta`, [energy time / length^2].
        initial_width: Standard deviation of the Gaussian initial law about the barrier, [length].

    Raises:
        ValueError: If a parameter is not positive and finite.

    Source:
        Kramers, Brownian motion in a field of force (1940); Risken, The Fokker-Planck Equation (1989), chapter 5.
    """

    barrier: float = 1.0
    minimum: float = 1.0
    temperature: float = 0.5
    friction: float = 1.0
    initial_width: float = 0.5

    variables = (Variable("x", long_name="position"),)

    def __post_init__(self) -> None:
        for name, value in self.parameters.items():
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"`{name}` must be positive and finite; got {value}.")

    @property
    def known_moments(self) -> tuple[KnownMoment, ...]:
        """The mean square in the stationary state; see ``Process.known_moments``."""
        return (stationary_moment("mean square", lambda state: state[..., 0].square(), self.stationary_mean_square),)

    @property
    def stationary_mean_square(self) -> float:
        r"""Exact :math:`\langle x^2 \rangle` of the Boltzmann law, derived, [length^2].

        .. math:: \frac{a^2}{2} \left(1 + \frac{I_{3/4}(z) + I_{-3/4}(z)}{I_{1/4}(z) + I_{-1/4}(z)}\right), \qquad
                  z = \frac{E_b}{2 T}
        """
        z = self.barrier / (2 * self.temperature)
        over, under = (sum(float(scipy.special.ive(order, z)) for order in (n, -n)) for n in (0.75, 0.25))
        return self.minimum**2 / 2 * (1 + over / under)

    def potential(self, state: Tensor) -> Tensor:
        """Return the potential energy, shape ``(...)``, of states of shape ``(..., 1)``, [energy]."""
        return self.barrier * ((state[..., 0] / self.minimum) ** 2 - 1) ** 2

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the drift, shape of ``state``; see ``Process.drift``."""
        rate = 4 * self.barrier / (self.friction * self.minimum**2)
        return rate * (state - state * state * state / self.minimum**2)

    def jacobian(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the Jacobian of the drift, shape ``(..., 1, 1)``; see ``Process.jacobian``."""
        rate = 4 * self.barrier / (self.friction * self.minimum**2)
        return (rate * (1 - 3 * state * state / self.minimum**2)).unsqueeze(-1)

    def noise(self, time: Tensor) -> Tensor:
        """Return the noise matrix, shape ``(1, 1)``; see ``Process.noise``."""
        return torch.tensor([[math.sqrt(2 * self.temperature / self.friction)]], dtype=torch.float64)

    def stationary_score(self, state: Tensor) -> Tensor:
        r"""Return the score of the Boltzmann law, :math:`-U'(x) / T`, shape of ``state``."""
        return self.drift(state, state.new_zeros(())) * (self.friction / self.temperature)

    @functools.cached_property
    def initial_law(self) -> Gaussian:
        """The law at time zero: Gaussian about the barrier."""
        variance = torch.tensor([[self.initial_width**2]], dtype=torch.float64)
        return Gaussian(mean=torch.zeros(1, dtype=torch.float64), covariance=variance)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw initial states, shape ``(paths, 1)``; see ``Process.sample_initial``."""
        return self.initial_law.sample(paths, generator)

    def initial_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the initial law, shape ``(...)``; see ``Process.initial_log_density``."""
        return self.initial_law.log_density(state.double()).to(state.dtype)
