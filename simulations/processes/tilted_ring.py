r"""A particle on a ring, driven over the teeth of a cosine.

.. math:: d\theta = \frac{1}{\eta} F(\theta)\,dt + \sqrt{2 T / \eta}\,dW, \qquad
          F = -U'(\theta), \quad U(\theta) = -A \cos \theta - f \theta

The state is the unwrapped angle, which counts the turns: it has a mean velocity but no stationary law on the line. The
drift has period :math:`2 \pi`, and the wrapped angle does have one,

.. math:: p(\theta) \propto I(\theta) = \int_0^{2 \pi} e^{(U(\theta + u) - U(\theta)) / T}\,du, \qquad
          \langle \dot\theta \rangle = \frac{T}{\eta} \frac{2 \pi (1 - e^{-2 \pi f / T})}{\int_0^{2 \pi} I\,d\theta}
"""

import dataclasses
import functools
import math

import numpy as np
import torch
from torch import Tensor

from physcore.known_moment import KnownMoment
from physcore.law import Gaussian
from physcore.process import Process, Variable
from simulations.potentials.cosine import CosinePotential
from simulations.stationary_moment import stationary_moment
from simulations.validation import check_finite, check_positive

__all__ = ["TiltedRing"]

NODES = 400  # of the quadrature over a turn; rounding alone is left down to T = A / 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class TiltedRing(Process):
    r"""Overdamped motion of an unwrapped angle in a tilted cosine. Boltzmann's constant is 1.

    Arguments:
        amplitude: Amplitude :math:`A` of the cosine, [energy].
        torque: Constant torque :math:`f`; at :math:`|f| > A` the wells vanish, [energy].
        temperature: Temperature :math:`T`, [energy].
        friction: Friction coefficient :math:`\eta`, [energy time].
        initial_width: Standard deviation of the Gaussian initial law about angle zero.

    Raises:
        ValueError: If the torque is not finite or another parameter is not positive and finite.

    Source:
        Stratonovich, Topics in the Theory of Random Noise, volume 2 (1967), chapter 9; Risken, The Fokker-Planck
        Equation (1989), section 11.3. The parameters are ours, below the critical torque.
    """

    amplitude: float = 1.0
    torque: float = 0.8
    temperature: float = 0.5
    friction: float = 1.0
    initial_width: float = 0.5

    variables = (Variable("theta", units="radian", long_name="unwrapped angle", symbol=r"\theta"),)

    def __post_init__(self) -> None:
        check_finite(torque=self.torque)
        check_positive(**{name: value for name, value in self.parameters.items() if name != "torque"})

    @property
    def potential(self) -> CosinePotential:
        """The potential of the unwrapped angle."""
        return CosinePotential(amplitude=self.amplitude, period=2 * math.pi, tilt=self.torque)

    @property
    def known_moments(self) -> tuple[KnownMoment, ...]:
        """Mean drift, cosine and sine in the stationary state of the ring; see ``Process.known_moments``."""
        law = self._wrapped_law()
        velocity, cosine, sine = (float((law[1] * f(law[0])).sum()) for f in (self._velocity, torch.cos, torch.sin))
        return (
            stationary_moment("mean drift", lambda state: self._velocity(state[..., 0]), velocity),
            stationary_moment("mean cosine", lambda state: torch.cos(state[..., 0]), cosine),
            stationary_moment("mean sine", lambda state: torch.sin(state[..., 0]), sine),
        )

    @property
    def mean_velocity(self) -> float:
        r"""Exact stationary mean velocity by the formula of Stratonovich, [1 / time]."""
        logarithms = self._log_integral(_turn())
        total = float(torch.logsumexp(logarithms, -1)) + math.log(2 * math.pi / NODES)
        # A torque f < 0 makes the factor negative and large, as it makes the integral: only the ratio is computed.
        slope = 2 * math.pi * self.torque / self.temperature
        factor = -math.expm1(-abs(slope)) * math.exp(max(-slope, 0.0) - total)
        return math.copysign(2 * math.pi * self.temperature / self.friction * factor, self.torque)

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the drift, shape of ``state``; see ``Process.drift``."""
        return self._velocity(state)

    def jacobian(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the Jacobian of the drift, shape ``(..., 1, 1)``; see ``Process.jacobian``."""
        return (-self.amplitude / self.friction * torch.cos(state)).unsqueeze(-1)

    def noise(self, time: Tensor) -> Tensor:
        """Return the noise matrix, shape ``(1, 1)``; see ``Process.noise``."""
        return torch.tensor([[math.sqrt(2 * self.temperature / self.friction)]], dtype=torch.float64)

    def stationary_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the stationary law of the wrapped angle, normalised over one turn.

        Arguments:
            state: Angles, shape ``(..., 1)``.

        Returns:
            Shape ``(...)``; periodic.
        """
        logarithm = self._log_integral(_turn())
        norm = torch.logsumexp(logarithm, -1) + math.log(2 * math.pi / len(logarithm))
        return self._log_integral(state[..., 0]) - norm.to(state.dtype)

    def stationary_score(self, state: Tensor) -> Tensor:
        """Return the score of the stationary law of the wrapped angle, shape of ``state``."""
        exponent, ahead = self._exponents(state[..., 0])
        here = self._velocity(state) * (self.friction / self.temperature)
        there = -self._velocity(ahead) * (self.friction / self.temperature)
        return here + (torch.softmax(exponent, -1) * there).sum(-1, keepdim=True)

    def _velocity(self, angle: Tensor) -> Tensor:
        return (self.torque - self.amplitude * torch.sin(angle)) / self.friction

    def _exponents(self, angle: Tensor) -> tuple[Tensor, Tensor]:
        """Return log of weight times integrand of :math:`I`, shape ``(..., node)``, and the angles of the nodes."""
        along, logarithm = (part.to(angle) for part in _quadrature())
        ahead = angle.unsqueeze(-1) + along
        rise = self.amplitude * (torch.cos(angle).unsqueeze(-1) - torch.cos(ahead)) - self.torque * along
        return logarithm + rise / self.temperature, ahead

    def _log_integral(self, angle: Tensor) -> Tensor:
        return torch.logsumexp(self._exponents(angle)[0], -1)

    def _wrapped_law(self) -> tuple[Tensor, Tensor]:
        """Return angles of one turn and their stationary probabilities, exact for smooth periodic functions."""
        angles = _turn()
        return angles, torch.softmax(self._log_integral(angles), -1)

    @property
    def initial_law(self) -> Gaussian:
        """The law at time zero, Gaussian about angle zero."""
        variance = torch.tensor([[self.initial_width**2]], dtype=torch.float64)
        return Gaussian(mean=torch.zeros(1, dtype=torch.float64), covariance=variance)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw initial states, shape ``(paths, 1)``; see ``Process.sample_initial``."""
        return self.initial_law.sample(paths, generator)

    def initial_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the initial law, shape ``(...)``; see ``Process.initial_log_density``."""
        return self.initial_law.log_density(state.double()).to(state.dtype)


@functools.cache
def _quadrature() -> tuple[Tensor, Tensor]:
    """Return the nodes of Gauss and Legendre over one turn and the logarithms of their weights."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return torch.from_numpy(math.pi * (nodes + 1)), torch.from_numpy(np.log(math.pi * weights))


def _turn() -> Tensor:
    """Return angles spaced evenly over one turn."""
    return torch.arange(NODES, dtype=torch.float64) * (2 * math.pi / NODES)
