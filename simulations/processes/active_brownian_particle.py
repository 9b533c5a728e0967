r"""An active Brownian particle in the plane, free or in a harmonic trap.

.. math:: dr = (-k r + v_0 u)\,dt + \sqrt{2 D}\,dW, \qquad d\theta = \sqrt{2 D_r}\,dW_\theta, \qquad
          u = (\cos \theta, \sin \theta)

The particle swims at constant speed :math:`v_0` along its heading, which diffuses. From its start it spreads as

.. math:: \langle r^2 \rangle = 4 D t + \frac{2 v_0^2}{D_r} \left(t - \frac{1 - e^{-D_r t}}{D_r}\right)

without a trap; in the trap :math:`\langle r^2 \rangle \to 2 D / k + v_0^2 / (k (k + D_r))`.
"""

import dataclasses
import math

import torch
from torch import Tensor

from physcore.known_moment import KnownMoment
from physcore.law import Gaussian
from physcore.process import Process, Variable
from simulations.persistent_motion import convolved, decayed, relaxed, trapped_variance
from simulations.validation import check_finite, check_positive

__all__ = ["ActiveBrownianParticle"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ActiveBrownianParticle(Process):
    r"""A self-propelled disc whose heading diffuses; the angle is not wrapped.

    Arguments:
        speed: Swimming speed :math:`v_0`, [um / s].
        diffusivity: Translational diffusivity :math:`D`, [um^2 / s].
        rotational_diffusivity: Diffusivity :math:`D_r` of the heading, [1 / s].
        stiffness: Rate :math:`k` at which the trap pulls back, zero without a trap, [1 / s].
        initial_width: Standard deviation of the initial position in each direction, about the origin, [um].
        initial_spread: Standard deviation of the initial heading about the x axis, [radian].

    Raises:
        ValueError: If the stiffness is negative or another parameter is not positive and finite.

    Source:
        Volpe, Gigan and Volpe, Simulation of the active Brownian motion of a microswimmer (2014): a sphere of radius
        1 um in water. Free: Howse et al., Self-motile colloidal particles (2007). The trap is ours, the moments in it
        are derived.
    """

    speed: float = 3.0
    diffusivity: float = 0.22
    rotational_diffusivity: float = 0.16
    stiffness: float = 0.5
    initial_width: float = 1.0
    initial_spread: float = 0.5

    variables = (
        Variable("x", units="um", long_name="position along x"),
        Variable("y", units="um", long_name="position along y"),
        Variable("theta", units="radian", long_name="heading", symbol=r"\theta"),
    )
    time_units = "s"

    def __post_init__(self) -> None:
        check_positive(**{name: value for name, value in self.parameters.items() if name != "stiffness"})
        check_finite(stiffness=self.stiffness)
        if self.stiffness < 0:
            raise ValueError(f"`stiffness` must not be negative; got {self.stiffness}. Zero leaves the particle free.")

    @property
    def known_moments(self) -> tuple[KnownMoment, ...]:
        """Mean position and heading, and mean square distance, at all times; see ``Process.known_moments``."""
        return (
            KnownMoment("mean position along x", lambda state: state[..., 0], self._mean_position),
            KnownMoment("mean heading along x", lambda state: torch.cos(state[..., 2]), self._mean_heading),
            KnownMoment("push along the position", self._push, self._mean_push),
            KnownMoment("mean square distance", lambda state: state[..., :2].square().sum(-1), self._square_distance),
        )

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the drift, shape of ``state``; see ``Process.drift``."""
        x, y, theta = state.unbind(-1)
        along_x = self.speed * torch.cos(theta) - self.stiffness * x
        along_y = self.speed * torch.sin(theta) - self.stiffness * y
        return torch.stack([along_x, along_y, torch.zeros_like(theta)], -1)

    def noise(self, time: Tensor) -> Tensor:
        """Return the noise matrix, shape ``(3, 3)``; see ``Process.noise``."""
        thermal, rotational = math.sqrt(2 * self.diffusivity), math.sqrt(2 * self.rotational_diffusivity)
        return torch.diag(torch.tensor([thermal, thermal, rotational], dtype=torch.float64))

    @property
    def initial_law(self) -> Gaussian:
        """The law at time zero: at the origin, heading along x."""
        width = torch.tensor([self.initial_width, self.initial_width, self.initial_spread], dtype=torch.float64)
        return Gaussian(mean=torch.zeros(3, dtype=torch.float64), covariance=torch.diag(width.square()))

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw initial states, shape ``(paths, 3)``; see ``Process.sample_initial``."""
        return self.initial_law.sample(paths, generator)

    def initial_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the initial law, shape ``(...)``; see ``Process.initial_log_density``."""
        return self.initial_law.log_density(state.double()).to(state.dtype)

    def _push(self, state: Tensor) -> Tensor:
        x, y, theta = state.unbind(-1)
        return self.speed * (x * torch.cos(theta) + y * torch.sin(theta))

    def _mean_heading(self, time: Tensor) -> Tensor:
        time = torch.as_tensor(time, dtype=torch.float64)
        return math.exp(-0.5 * self.initial_spread**2) * decayed(time, self.rotational_diffusivity)

    def _mean_position(self, time: Tensor) -> Tensor:
        time = torch.as_tensor(time, dtype=torch.float64)
        pushed = convolved(time, self.stiffness, self.rotational_diffusivity)
        return self.speed * math.exp(-0.5 * self.initial_spread**2) * pushed

    def _mean_push(self, time: Tensor) -> Tensor:
        time = torch.as_tensor(time, dtype=torch.float64)
        return self.speed**2 * relaxed(time, self.stiffness + self.rotational_diffusivity)

    def _square_distance(self, time: Tensor) -> Tensor:
        return 2 * trapped_variance(
            time,
            stiffness=self.stiffness,
            memory_rate=self.rotational_diffusivity,
            push_variance=self.speed**2 / 2,
            diffusivity=self.diffusivity,
            initial=self.initial_width**2,
        )
