r"""The breathing parabola: a harmonic trap that softens in time, solved exactly.

.. math:: dx = -\kappa(t)\,x\,dt + \sqrt{2 D}\,dW, \qquad \kappa(t) = \frac{k}{1 + k t}, \qquad x_0 \sim N(0, D / k)

With :math:`u = 1 + k t` the variance obeys :math:`dS/du = -2 S / u + 2 D / k`; from equilibrium at :math:`u = 1` it is
:math:`S = \frac{D}{3 k} (2 u + u^{-2})`. The entropy production rate
:math:`(D / S - \kappa)^2 S / D` becomes :math:`k (u^3 - 1)^2 / (3 u^4 (2 u^3 + 1))`, whatever :math:`D` (derived).
"""

import dataclasses
import math

import torch
from torch import Tensor

from physcore.known_moment import KnownMoment
from physcore.law import Gaussian
from physcore.process import Variable
from physcore.solvable import SolvableProcess
from simulations.validation import check_positive

__all__ = ["BreathingParabola"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BreathingParabola(SolvableProcess):
    r"""A Brownian particle in a softening harmonic trap, started in equilibrium.

    Arguments:
        stiffness: Rate :math:`k` of return at time zero, [1 / time].
        diffusivity: :math:`D`, [length^2 / time].

    Raises:
        ValueError: If a parameter is not positive and finite.

    Source:
        Otsubo, Manikandan, Sagawa and Krishnamurthy, Estimating time-dependent entropy production from
        non-equilibrium trajectories (2022), the breathing parabola.
    """

    stiffness: float = 1.0
    diffusivity: float = 1.0

    variables = (Variable("x", long_name="position"),)

    def __post_init__(self) -> None:
        check_positive(stiffness=self.stiffness, diffusivity=self.diffusivity)

    @property
    def known_moments(self) -> tuple[KnownMoment, ...]:
        """The mean square at all times, infinite in the end; see ``Process.known_moments``."""
        return (KnownMoment("mean square", lambda state: (state * state).sum(-1), self.variance),)

    def variance(self, time: Tensor) -> Tensor:
        """Return the exact variance, shape ``(...)``, at times of shape ``(...)``, in float64, [length^2]."""
        u = 1 + self.stiffness * torch.as_tensor(time, dtype=torch.float64)
        return self.diffusivity / (3 * self.stiffness) * (2 * u + u**-2)

    def entropy_production_rate(self, time: Tensor) -> Tensor:
        """Return the exact entropy production rate, shape ``(...)``, at times of shape ``(...)``, [1 / time]."""
        u = 1 + self.stiffness * torch.as_tensor(time, dtype=torch.float64)
        return self.stiffness * (u**3 - 1) ** 2 / (3 * u**4 * (2 * u**3 + 1))

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the drift, shape of ``state``; see ``Process.drift``."""
        rate = self.stiffness / (1 + self.stiffness * time.to(state.dtype))
        return -rate.unsqueeze(-1) * state

    def noise(self, time: Tensor) -> Tensor:
        """Return the noise matrix, shape ``(1, 1)``; see ``Process.noise``."""
        return torch.tensor([[math.sqrt(2 * self.diffusivity)]], dtype=torch.float64)

    def law(self, time: Tensor) -> Gaussian:
        """Return the exact Gaussian law at times of shape ``(...)``, in float64; see ``SolvableProcess.law``."""
        variance = self.variance(time).unsqueeze(-1)
        return Gaussian(mean=torch.zeros_like(variance), covariance=variance.unsqueeze(-1))

    def transition(self, state: Tensor, start: Tensor, time: Tensor) -> Gaussian:
        r"""Return the exact law given an earlier state; see ``SolvableProcess.transition``.

        With :math:`u = 1 + k t`, the mean shrinks by :math:`u_s / u_t` and the variance is
        :math:`\frac{2 D}{3 k} (u_t^3 - u_s^3) / u_t^2`, derived.
        """
        before, after = 1 + self.stiffness * start, 1 + self.stiffness * time
        grown = self.stiffness * (time - start) * (after**2 + after * before + before**2)  # without cancellation
        variance = 2 * self.diffusivity / (3 * self.stiffness) * grown / after**2
        return Gaussian(mean=(before / after).unsqueeze(-1) * state, covariance=variance[..., None, None])

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw initial states, shape ``(paths, 1)``; see ``Process.sample_initial``."""
        return self.law(torch.zeros(())).sample(paths, generator)
