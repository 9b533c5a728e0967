r"""Overdamped motion in a logarithmic potential, whose stationary law has heavy tails.

.. math:: dx = -\frac{(\nu + 1)\,D\,x}{\nu \sigma^2 + x^2}\,dt + \sqrt{2 D}\,dW, \qquad
          U(x) = \frac{\nu + 1}{2}\,T \log\left(1 + \frac{x^2}{\nu \sigma^2}\right), \quad D = T / \eta

The force falls as :math:`1 / x`, as that of friction on cold atoms in momentum space. The stationary law is Student's
with :math:`\nu` degrees of freedom, whose tails decay as :math:`|x|^{-\nu - 1}`; its score vanishes far out. The bulk
relaxes at once and the tails like free diffusion: by time :math:`t` they are there to :math:`|x| \sim \sqrt{4 D t}`.
"""

import dataclasses
import math

import scipy.special
import torch
from torch import Tensor

from physcore.known_moment import KnownMoment
from physcore.law import Gaussian
from physcore.process import Process, Variable
from simulations.stationary_moment import stationary_moment
from simulations.validation import check_positive

__all__ = ["StudentDiffusion"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudentDiffusion(Process):
    r"""A Brownian particle whose stationary law is Student's. Boltzmann's constant is 1.

    Arguments:
        degrees_of_freedom: :math:`\nu`; moments below this order exist.
        scale: :math:`\sigma`, [length].
        temperature: Temperature :math:`T`, [energy].
        friction: Friction coefficient :math:`\eta`, [energy time / length^2].
        initial_width: Standard deviation of the Gaussian initial law, [length]; the stationary law is where it starts
            when None.

    Raises:
        ValueError: If a parameter is not positive and finite.

    Source:
        Dechant, Lutz, Barkai and Kessler, Solution of the Fokker-Planck equation with a logarithmic potential and its
        diffusion limit (2011), with :math:`U_0 = (\nu + 1) T`.
    """

    degrees_of_freedom: float = 5.0
    scale: float = 1.0
    temperature: float = 1.0
    friction: float = 1.0
    initial_width: float | None = 0.5

    variables = (Variable("x", long_name="position"),)

    def __post_init__(self) -> None:
        check_positive(**{name: value for name, value in self.parameters.items() if value is not None})

    @property
    def known_moments(self) -> tuple[KnownMoment, ...]:
        r"""The virial :math:`\langle x U' \rangle = T` in the stationary state; see ``Process.known_moments``."""
        return (stationary_moment("virial", lambda state: -(state * self._force(state)).sum(-1), self.temperature),)

    def potential(self, state: Tensor) -> Tensor:
        """Return the potential energy, shape ``(...)``, of states of shape ``(..., 1)``, [energy]."""
        return self._strength / 2 * torch.log1p(state[..., 0].square() / self._square)

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the drift, shape of ``state``; see ``Process.drift``."""
        return self._force(state) / self.friction

    def jacobian(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the Jacobian of the drift, shape ``(..., 1, 1)``; see ``Process.jacobian``."""
        square = state * state
        slope = (square - self._square) / (square + self._square).square()
        return (self._strength / self.friction * slope).unsqueeze(-1)

    def noise(self, time: Tensor) -> Tensor:
        """Return the noise matrix, shape ``(1, 1)``; see ``Process.noise``."""
        return torch.tensor([[math.sqrt(2 * self.temperature / self.friction)]], dtype=torch.float64)

    def stationary_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of Student's law, shape ``(...)``, of states of shape ``(..., 1)``."""
        nu = self.degrees_of_freedom
        norm = math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2) - 0.5 * math.log(math.pi * self._square)
        return norm - self.potential(state) / self.temperature

    def stationary_score(self, state: Tensor) -> Tensor:
        r"""Return the score of Student's law, :math:`-(\nu + 1) x / (\nu \sigma^2 + x^2)`, shape of ``state``."""
        return self._force(state) / self.temperature

    def sample_stationary(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw from Student's law.

        Arguments:
            paths: Number of states.
            generator: Source of randomness.

        Returns:
            Shape ``(paths, 1)``, float64.
        """
        part = torch.rand(paths, 1, generator=generator, dtype=torch.float64)
        # One of 2^53 draws is zero, whose quantile is infinite.
        quantile = scipy.special.stdtrit(self.degrees_of_freedom, part.clamp(min=2.0**-54).numpy())
        return self.scale * torch.from_numpy(quantile)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw initial states, shape ``(paths, 1)``; see ``Process.sample_initial``."""
        law = self._gaussian
        return self.sample_stationary(paths, generator) if law is None else law.sample(paths, generator)

    def initial_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the initial law, shape ``(...)``; see ``Process.initial_log_density``."""
        law = self._gaussian
        log_density = self.stationary_log_density if law is None else law.log_density
        return log_density(state.double()).to(state.dtype)

    @property
    def _gaussian(self) -> Gaussian | None:
        if self.initial_width is None:
            return None
        variance = torch.tensor([[self.initial_width**2]], dtype=torch.float64)
        return Gaussian(mean=torch.zeros(1, dtype=torch.float64), covariance=variance)

    @property
    def _strength(self) -> float:
        """The strength of the potential, [energy]."""
        return (self.degrees_of_freedom + 1) * self.temperature

    @property
    def _square(self) -> float:
        """The square of the distance at which the force is largest, [length^2]."""
        return self.degrees_of_freedom * self.scale**2

    def _force(self, state: Tensor) -> Tensor:
        return -self._strength * state / (self._square + state * state)
