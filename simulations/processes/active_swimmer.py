r"""An active swimmer in an anharmonic trap.

.. math:: dx = (-x^3 + v)\,dt, \qquad dv = -\gamma v\,dt + \sqrt{2 \gamma D}\,dW

The swimmer's position :math:`x` relaxes in a quartic trap and is pushed by its velocity :math:`v`, an
Ornstein-Uhlenbeck process with friction :math:`\gamma` and temperature :math:`D`. Noise enters the velocity alone.
The density gathers on the thin ridge :math:`x = v^{1/3}`, which makes its score hard to learn.
"""

import dataclasses
import functools
import math

import torch
from torch import Tensor

from physcore.known_moment import KnownMoment
from physcore.law import Gaussian
from physcore.process import Process, Variable

__all__ = ["ActiveSwimmer"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ActiveSwimmer(Process):
    r"""An active swimmer in a quartic trap; the velocity alone is driven by noise. Dimensionless units.

    Arguments:
        friction: Friction :math:`\gamma`, rate at which the velocity decorrelates, [1 / time].
        temperature: Variance :math:`D` of the stationary velocity.

    Raises:
        ValueError: If a parameter is not positive and finite.

    Source:
        Boffi and Vanden-Eijnden, Probability flow solution of the Fokker-Planck equation (2023), the active
        swimmer; initial law :math:`N(0, I)` as there.
    """

    friction: float = 0.1
    temperature: float = 1.0

    variables = (
        Variable("x", long_name="position"),
        Variable("v", long_name="velocity"),
    )

    def __post_init__(self) -> None:
        for name, value in self.parameters.items():
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"`{name}` must be positive and finite; got {value}.")

    @property
    def known_moments(self) -> tuple[KnownMoment, ...]:
        r"""The mean square velocity, :math:`D + (1 - D) e^{-2 \gamma t}`; see ``Process.known_moments``."""

        def expectation(time: Tensor) -> Tensor:
            time = torch.as_tensor(time, dtype=torch.float64)
            return self.temperature + (1 - self.temperature) * torch.exp(-2 * self.friction * time)

        return (KnownMoment("square velocity", lambda state: state[..., 1].square(), expectation),)

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the drift, shape of ``state``; see ``Process.drift``."""
        x, v = state.unbind(-1)
        return torch.stack([v - x * x * x, -self.friction * v], -1)

    def jacobian(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the Jacobian of the drift, shape ``(..., 2, 2)``; see ``Process.jacobian``."""
        x = state[..., 0]
        one, zero = torch.ones_like(x), torch.zeros_like(x)
        rows = [torch.stack([-3 * x * x, one], -1), torch.stack([zero, -self.friction * one], -1)]
        return torch.stack(rows, -2)

    def noise(self, time: Tensor) -> Tensor:
        """Return the noise matrix, shape ``(2, 1)``; see ``Process.noise``."""
        return torch.tensor([[0.0], [math.sqrt(2 * self.friction * self.temperature)]], dtype=torch.float64)

    @functools.cached_property
    def initial_law(self) -> Gaussian:
        """The law at time zero, the standard normal."""
        return Gaussian(mean=torch.zeros(2, dtype=torch.float64), covariance=torch.eye(2, dtype=torch.float64))

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw initial states, shape ``(paths, 2)``; see ``Process.sample_initial``."""
        return self.initial_law.sample(paths, generator)

    def initial_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the initial law, shape ``(...)``; see ``Process.initial_log_density``."""
        return self.initial_law.log_density(state.double()).to(state.dtype)
