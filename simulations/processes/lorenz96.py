r"""The ring of Lorenz (1996) with additive noise.

.. math:: dx_i = \left((x_{i+1} - x_{i-2}) x_{i-1} - x_i + F\right) dt + g\,dW_i, \qquad i \bmod N

The quadratic terms keep the energy :math:`\tfrac12 |x|^2`, so the stationary state balances forcing, damping and
noise: :math:`\langle |x|^2 \rangle = F \langle \sum_i x_i \rangle + N g^2 / 2` (derived). Volumes shrink at the rate
:math:`N`.
"""

import dataclasses

import torch
from torch import Tensor

from physcore.known_moment import KnownMoment
from physcore.law import Gaussian
from physcore.process import Process, Variable
from simulations.stationary_moment import stationary_moment
from simulations.validation import check_finite, check_positive

__all__ = ["Lorenz96"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lorenz96(Process):
    r"""A model atmosphere on a circle of latitude, with independent noise at each place. Dimensionless units.

    Arguments:
        sites: Number :math:`N` of places, at least 4.
        forcing: Forcing :math:`F`; the motion is chaotic at 8.
        noise_strength: Strength :math:`g` of the noise at each place, [1 / sqrt(time)].
        initial_width: Standard deviation of the Gaussian initial law about rest, :math:`x_i = 0`.

    Raises:
        ValueError: If there are too few places or another parameter is out of range.

    Source:
        Lorenz, Predictability: a problem partly solved (1996); Lorenz and Emanuel, Optimal sites for supplementary
        weather observations (1998), N = 40 and F = 8. The noise, its strength and the initial law are ours.
    """

    sites: int = 40
    forcing: float = 8.0
    noise_strength: float = 1.0
    initial_width: float = 0.5

    def __post_init__(self) -> None:
        if self.sites < 4:
            raise ValueError(f"`sites` must be at least 4, as a place acts on those up to 2 away; got {self.sites}.")
        check_finite(forcing=self.forcing)
        check_positive(noise_strength=self.noise_strength, initial_width=self.initial_width)

    @property
    def variables(self) -> tuple[Variable, ...]:  # type: ignore[override]
        """One variable for each place, ``x0``, ``x1``, ..."""
        return tuple(Variable(f"x{i}", long_name=f"place {i}", symbol=f"x_{{{i}}}") for i in range(self.sites))

    @property
    def dimension(self) -> int:
        """Number of places."""
        return self.sites

    @property
    def known_moments(self) -> tuple[KnownMoment, ...]:
        """The balance of energy in the stationary state; see ``Process.known_moments``."""

        def balance(state: Tensor) -> Tensor:
            return (state * (state - self.forcing)).sum(-1)

        return (stationary_moment("balance of energy", balance, self.sites * self.noise_strength**2 / 2),)

    @property
    def divergence(self) -> float:
        """Divergence of the drift, the same everywhere, [1 / time]."""
        return -float(self.sites)

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the drift, shape of ``state``; see ``Process.drift``."""
        ahead, behind, far = (torch.roll(state, shift, -1) for shift in (-1, 1, 2))
        return (ahead - far) * behind - state + self.forcing

    def noise(self, time: Tensor) -> Tensor:
        """Return the noise matrix, shape ``(component, component)``; see ``Process.noise``."""
        return self.noise_strength * torch.eye(self.sites, dtype=torch.float64)

    @property
    def initial_law(self) -> Gaussian:
        """The law at time zero, Gaussian about rest."""
        covariance = self.initial_width**2 * torch.eye(self.sites, dtype=torch.float64)
        return Gaussian(mean=torch.zeros(self.sites, dtype=torch.float64), covariance=covariance)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw initial states, shape ``(paths, component)``; see ``Process.sample_initial``."""
        return self.initial_law.sample(paths, generator)

    def initial_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the initial law, shape ``(...)``; see ``Process.initial_log_density``."""
        return self.initial_law.log_density(state.double()).to(state.dtype)
