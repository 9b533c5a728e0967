r"""The three-variable system of Lorenz with additive noise.

.. math:: dx = \sigma (y - x)\,dt + g\,dW_1, \qquad dy = (x (\rho - z) - y)\,dt + g\,dW_2, \qquad
          dz = (x y - \beta z)\,dt + g\,dW_3

Chaotic at the classical parameters. Volumes shrink at the constant rate :math:`\sigma + 1 + \beta`. Stationarity of
:math:`z`, of :math:`x^2` and of :math:`y^2 + z^2` gives :math:`\langle x y \rangle = \beta \langle z \rangle`,
:math:`\sigma \langle x (x - y) \rangle = g^2 / 2` and
:math:`\langle y^2 + \beta z^2 - \rho x y \rangle = g^2` (derived).
"""

import dataclasses

import torch
from torch import Tensor

from physcore.known_moment import KnownMoment
from physcore.law import Gaussian
from physcore.process import Process, Variable
from simulations.stationary_moment import stationary_moment
from simulations.validation import check_positive

__all__ = ["Lorenz63"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lorenz63(Process):
    r"""Convection cut down to three modes, with independent noise on each. Dimensionless units.

    Arguments:
        prandtl: Prandtl number :math:`\sigma`.
        rayleigh: Rayleigh number :math:`\rho` over its critical value.
        aspect: Geometric factor :math:`\beta`.
        noise_strength: Strength :math:`g` of the noise on each variable, [1 / sqrt(time)].
        initial_width: Standard deviation of the Gaussian initial law about (1, 1, 1).

    Raises:
        ValueError: If a parameter is not positive and finite.

    Source:
        Lorenz, Deterministic nonperiodic flow (1963). The noise, its strength and the initial law are ours.
    """

    prandtl: float = 10.0
    rayleigh: float = 28.0
    aspect: float = 8 / 3
    noise_strength: float = 1.0
    initial_width: float = 1.0

    variables = (
        Variable("x", long_name="convective velocity"),
        Variable("y", long_name="horizontal temperature difference"),
        Variable("z", long_name="distortion of the temperature profile"),
    )

    def __post_init__(self) -> None:
        check_positive(**self.parameters)

    @property
    def known_moments(self) -> tuple[KnownMoment, ...]:
        """Three balances in the stationary state; see ``Process.known_moments``."""

        def transport(state: Tensor) -> Tensor:
            x, y, z = state.unbind(-1)
            return x * y - self.aspect * z

        def velocity(state: Tensor) -> Tensor:
            x, y, _ = state.unbind(-1)
            return self.prandtl * x * (x - y)

        def temperature(state: Tensor) -> Tensor:
            x, y, z = state.unbind(-1)
            return y * y + self.aspect * z * z - self.rayleigh * x * y

        return (
            stationary_moment("balance of transport", transport, 0.0),
            stationary_moment("balance of velocity", velocity, self.noise_strength**2 / 2),
            stationary_moment("balance of temperature", temperature, self.noise_strength**2),
        )

    @property
    def divergence(self) -> float:
        """Divergence of the drift, the same everywhere, [1 / time]."""
        return -(self.prandtl + 1 + self.aspect)

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the drift, shape of ``state``; see ``Process.drift``."""
        x, y, z = state.unbind(-1)
        return torch.stack([self.prandtl * (y - x), x * (self.rayleigh - z) - y, x * y - self.aspect * z], -1)

    def noise(self, time: Tensor) -> Tensor:
        """Return the noise matrix, shape ``(3, 3)``; see ``Process.noise``."""
        return self.noise_strength * torch.eye(3, dtype=torch.float64)

    @property
    def initial_law(self) -> Gaussian:
        """The law at time zero, Gaussian about (1, 1, 1)."""
        covariance = self.initial_width**2 * torch.eye(3, dtype=torch.float64)
        return Gaussian(mean=torch.ones(3, dtype=torch.float64), covariance=covariance)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw initial states, shape ``(paths, 3)``; see ``Process.sample_initial``."""
        return self.initial_law.sample(paths, generator)

    def initial_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the initial law, shape ``(...)``; see ``Process.initial_log_density``."""
        return self.initial_law.log_density(state.double()).to(state.dtype)
