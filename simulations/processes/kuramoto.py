r"""Kuramoto oscillators with noise.

.. math:: d\theta_i = \omega_i\,dt + \frac{K}{N} \sum_{j=1}^N \sin(\theta_j - \theta_i)\,dt + \sqrt{2 D}\,dW_i

The sum is :math:`K (S \cos \theta_i - C \sin \theta_i)` with the order parameter :math:`C + i S = N^{-1} \sum_j
e^{i \theta_j}` of modulus :math:`r`, so a step costs :math:`O(N)`. Identical oscillators relax in a potential,
:math:`p \propto e^{N K r^2 / 2 D}` in their common frame; writing the square as a Gaussian integral leaves one radius,

.. math:: Z(\kappa) \propto \frac{N}{\kappa} \int_0^\infty e^{-N h^2 / 2 \kappa} I_0(h)^N h\,dh, \qquad
          \kappa = K / D, \qquad \langle r^2 \rangle = \frac{\langle h^2 \rangle}{\kappa^2} - \frac{2}{N \kappa}

For :math:`N \to \infty` they synchronise above :math:`K_c = 2 D`, where :math:`r = I_1(\kappa r) / I_0(\kappa r)`.
"""

import dataclasses
import math

import numpy as np
import scipy.special
import torch
from numpy.typing import NDArray
from torch import Tensor

from physcore.known_moment import KnownMoment
from physcore.particles import particle_components
from physcore.process import Process, Variable
from simulations.initial_arrangement import IndependentNormals, even_headings
from simulations.ordered_sum import ordered_sum
from simulations.stationary_moment import stationary_moment
from simulations.validation import check_finite, check_positive

__all__ = ["Kuramoto"]

NODES = 500  # of the quadrature over the radius
NEGLIGIBLE = 60.0  # below its peak, in the logarithm of the integrand


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kuramoto(Process):
    r"""Phase oscillators coupled through their mean field; phases are not wrapped.

    Arguments:
        particles: Number :math:`N` of oscillators.
        coupling: :math:`K`, repulsive when negative, [1 / time].
        diffusivity: Diffusivity :math:`D` of the phases, [1 / time].
        frequency: Median :math:`\omega_0` of the natural frequencies, [1 / time].
        frequency_spread: Half width :math:`\gamma` of the Lorentzian whose quantiles the natural frequencies are, zero
            for identical oscillators; the critical coupling is then :math:`2 (D + \gamma)`, [1 / time].
        initial_spread: Standard deviation of the initial phases about even ones.

    Raises:
        ValueError: If a parameter is out of range.

    Source:
        Sakaguchi, Cooperative phenomena in coupled oscillator systems under external fields (1988); Acebron et al.,
        The Kuramoto model: a simple paradigm for synchronization phenomena (2005). The parameters are ours, at twice
        the critical coupling; the order at finite N is derived.
    """

    particles: int = 8
    coupling: float = 2.0
    diffusivity: float = 0.5
    frequency: float = 0.0
    frequency_spread: float = 0.0
    initial_spread: float = 1.0

    particle_variables = (Variable("theta", units="radian", long_name="phase", symbol=r"\theta"),)

    def __post_init__(self) -> None:
        check_positive(particles=self.particles, diffusivity=self.diffusivity, initial_spread=self.initial_spread)
        check_finite(coupling=self.coupling, frequency=self.frequency, frequency_spread=self.frequency_spread)
        if self.frequency_spread < 0:
            raise ValueError(f"`frequency_spread` must not be negative; got {self.frequency_spread}.")

    @property
    def variables(self) -> tuple[Variable, ...]:  # type: ignore[override]
        """The phases."""
        return particle_components(self.particle_variables, self.particles)

    @property
    def frequencies(self) -> Tensor:
        """Natural frequencies, shape ``(particle,)``: even quantiles of a Lorentzian, symmetric about the median."""
        level = (torch.arange(self.particles, dtype=torch.float64) + 0.5) / self.particles - 0.5
        return self.frequency + self.frequency_spread * torch.tan(math.pi * level)

    @property
    def known_moments(self) -> tuple[KnownMoment, ...]:
        """Mean and spread of the mean phase at all times, and the stationary order of identical oscillators."""
        moments = [
            KnownMoment("mean phase", lambda state: state.mean(-1), self._mean_phase),
            KnownMoment("square of the mean phase", lambda state: state.mean(-1).square(), self._square_phase),
        ]
        if self.frequency_spread == 0 and self.coupling > 0:
            moments.append(stationary_moment("squared order parameter", self.squared_order, self._stationary_order()))
        return tuple(moments)

    def squared_order(self, state: Tensor) -> Tensor:
        """Return the squared modulus of the order parameter, shape ``(...)``.

        Arguments:
            state: Phases, shape ``(..., particle)``.
        """
        return torch.cos(state).mean(-1).square() + torch.sin(state).mean(-1).square()

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the drift, shape of ``state``; see ``Process.drift``."""
        cosine, sine = torch.cos(state), torch.sin(state)
        mean_cosine = ordered_sum(cosine) * (1 / self.particles)
        mean_sine = ordered_sum(sine) * (1 / self.particles)
        return self.frequencies.to(state) + self.coupling * (mean_sine * cosine - mean_cosine * sine)

    @property
    def noise_strengths(self) -> Tensor:
        """The same strength for all components; see ``Process.noise_strengths``."""
        return torch.full((self.particles,), math.sqrt(2 * self.diffusivity), dtype=torch.float64)

    def noise(self, time: Tensor) -> Tensor:
        """Return the noise matrix, shape ``(component, component)``; see ``Process.noise``."""
        return torch.diag(self.noise_strengths)

    @property
    def initial_law(self) -> IndependentNormals:
        """The law at time zero, a Gaussian about even phases."""
        mean = even_headings(self.particles)
        return IndependentNormals(mean=mean, width=torch.full_like(mean, self.initial_spread))

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw initial states, shape ``(paths, component)``; see ``Process.sample_initial``."""
        return self.initial_law.sample(paths, generator)

    def initial_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the initial law, shape ``(...)``; see ``Process.initial_log_density``."""
        return self.initial_law.log_density(state)

    def _mean_phase(self, time: Tensor) -> Tensor:
        # The coupling is odd in the phase difference: it moves no mean.
        time = torch.as_tensor(time, dtype=torch.float64)
        return self.initial_law.mean.mean() + self.frequencies.mean() * time

    def _square_phase(self, time: Tensor) -> Tensor:
        time = torch.as_tensor(time, dtype=torch.float64)
        variance = (self.initial_spread**2 + 2 * self.diffusivity * time) / self.particles
        return self._mean_phase(time).square() + variance

    def _stationary_order(self) -> float:
        """Return the exact stationary mean of the squared order parameter of identical oscillators."""
        ratio, count = self.coupling / self.diffusivity, self.particles

        def logarithm(radius: NDArray[np.float64]) -> NDArray[np.float64]:
            bessel = np.log(scipy.special.i0e(radius)) + radius
            integrand: NDArray[np.float64] = count * (bessel - radius**2 / (2 * ratio)) + np.log(radius)
            return integrand

        low, high = 1e-9 * ratio, ratio + 40 * math.sqrt(ratio / count)
        for _ in range(3):  # with many oscillators the one peak is narrow
            grid = np.linspace(low, high, NODES)
            values = logarithm(grid)
            (inside,) = np.nonzero(values > values.max() - NEGLIGIBLE)
            low, high = grid[max(inside[0] - 1, 0)], grid[min(inside[-1] + 1, NODES - 1)]
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        radius = low + (nodes + 1) / 2 * (high - low)
        exponent = logarithm(radius)
        weight = weights * np.exp(exponent - exponent.max())
        return float((weight * radius**2).sum() / weight.sum() / ratio**2 - 2 / (count * ratio))
