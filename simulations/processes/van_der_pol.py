r"""The van der Pol oscillator with noise.

.. math:: dx = v\,dt, \qquad dv = \left(\mu (1 - x^2) v - \omega^2 x\right) dt + \sqrt{2 D}\,dW

Small swings gain energy and large ones lose it, so the motion settles on a limit cycle that noise blurs. Stationarity
of :math:`x v` and of the energy gives :math:`\langle v^2 \rangle = \omega^2 \langle x^2 \rangle` and
:math:`\mu \langle (x^2 - 1) v^2 \rangle = D` (derived).
"""

import dataclasses
import math

import torch
from torch import Tensor

from physcore.known_moment import KnownMoment
from physcore.law import Gaussian
from physcore.process import Process, Variable
from simulations.stationary_moment import stationary_moment
from simulations.validation import check_positive

__all__ = ["VanDerPol"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class VanDerPol(Process):
    r"""A self-sustained oscillator whose friction changes sign; noise drives the velocity. Dimensionless units.

    Arguments:
        nonlinearity: Strength :math:`\mu` of the nonlinear friction, [1 / time].
        frequency: Angular frequency :math:`\omega` of small swings, [1 / time].
        diffusivity: Diffusivity :math:`D` of the velocity, [1 / time^3].
        initial_width: Standard deviation of the Gaussian initial law about the origin.

    Raises:
        ValueError: If a parameter is not positive and finite.

    Source:
        van der Pol, On relaxation-oscillations (1926). The noise, its strength and the initial law are ours.
    """

    nonlinearity: float = 1.0
    frequency: float = 1.0
    diffusivity: float = 0.1
    initial_width: float = 0.5

    variables = (
        Variable("x", long_name="position"),
        Variable("v", long_name="velocity", parity=-1),
    )

    def __post_init__(self) -> None:
        check_positive(**self.parameters)

    @property
    def known_moments(self) -> tuple[KnownMoment, ...]:
        """Balances of virial and energy in the stationary state; see ``Process.known_moments``."""

        def virial(state: Tensor) -> Tensor:
            return state[..., 1].square() - self.frequency**2 * state[..., 0].square()

        def dissipation(state: Tensor) -> Tensor:
            return self.nonlinearity * (state[..., 0].square() - 1) * state[..., 1].square()

        return (
            stationary_moment("virial balance", virial, 0.0),
            stationary_moment("dissipated power", dissipation, self.diffusivity),
        )

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the drift, shape of ``state``; see ``Process.drift``."""
        x, v = state.unbind(-1)
        return torch.stack([v, self.nonlinearity * (1 - x * x) * v - self.frequency**2 * x], -1)

    def noise(self, time: Tensor) -> Tensor:
        """Return the noise matrix, shape ``(2, 1)``; see ``Process.noise``."""
        return torch.tensor([[0.0], [math.sqrt(2 * self.diffusivity)]], dtype=torch.float64)

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
