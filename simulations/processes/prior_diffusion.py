r"""Langevin diffusions that carry data to a prior, the base of nonlinear generative models.

.. math:: dy = \tfrac12 \beta(t)\,\nabla \log \pi(y)\,dt + \sqrt{\beta(t)}\,dW, \qquad
          \beta(t) = \beta_0 + t\,(\beta_1 - \beta_0)

The prior :math:`\pi` is stationary whatever :math:`\beta`, which only sets the pace of the clock
:math:`B(t) = \int_0^t \beta`. With a Gaussian prior this is the usual noising of diffusion models; any other prior
makes the drift nonlinear. The initial law is that of the data: two half moons, each a chain of Gaussians, or Gaussians
about given points in any dimension, such as samples; its density is known.
"""

import abc
import functools
import math

import torch
from torch import Tensor

from physcore.known_moment import KnownMoment
from physcore.mixture import GaussianMixture
from physcore.process import Process, Variable
from simulations.processes.linear_rate import LinearRate
from simulations.stationary_moment import stationary_moment
from simulations.validation import check_positive

__all__ = ["PriorDiffusion"]

GAUSSIANS = 8  # in each half moon


class PriorDiffusion(LinearRate, Process):
    r"""Noising of data by the Langevin dynamics of a prior. Dimensionless units.

    Subclasses give ``stationary_log_density`` and ``stationary_score``, those of the prior, with its
    ``prior_mean_square``, and hold the parameters below.

    Attributes:
        beta_start: Rate :math:`\beta_0` at time 0, [1 / time].
        beta_end: Rate :math:`\beta_1` at time 1, [1 / time].
        data_points: Points that the data lie about, a row each, in equal shares; two half moons in the plane when None.
        data_radius: Radius of the half moons.
        data_width: Standard deviation of the data about points or half moons, in each direction.

    Source:
        Song et al., Score-based generative modeling through stochastic differential equations (2021), the linear rate;
        Singhal, Goldstein and Ranganath, What's the score? Automated denoising score matching for nonlinear diffusions
        (2024), nonlinear drifts.
    """

    beta_start: float
    beta_end: float
    data_points: tuple[tuple[float, ...], ...] | None
    data_radius: float
    data_width: float

    def __post_init__(self) -> None:
        numbers = ("beta_start", "beta_end", "data_radius", "data_width")
        check_positive(**{name: getattr(self, name) for name in numbers})
        if self.beta_end < self.beta_start:
            raise ValueError(f"`beta_end` must be at least `beta_start` = {self.beta_start}; got {self.beta_end}.")
        if self.data_points is not None:
            object.__setattr__(self, "data_points", self.initial_law.means)

    @property
    def variables(self) -> tuple[Variable, ...]:  # type: ignore[override]
        """``x`` and ``y`` in the plane, else ``x0``, ``x1``, ..."""
        if self.initial_law.dimension == 2:
            return (Variable("x", long_name="first coordinate"), Variable("y", long_name="second coordinate"))
        return tuple(
            Variable(f"x{i}", long_name=f"coordinate {i}", symbol=f"x_{{{i}}}")
            for i in range(self.initial_law.dimension)
        )

    @abc.abstractmethod
    def stationary_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the prior, shape ``(...)``, of states of shape ``(..., component)``."""

    @abc.abstractmethod
    def stationary_score(self, state: Tensor) -> Tensor:
        """Return the score of the prior, shape of ``state``, of states of shape ``(..., component)``."""

    @property
    @abc.abstractmethod
    def prior_mean_square(self) -> float:
        r"""Exact :math:`E|y|^2` of the prior."""

    @property
    def known_moments(self) -> tuple[KnownMoment, ...]:
        """The mean square at infinite time, that of the prior; see ``Process.known_moments``."""
        return (stationary_moment("mean square", lambda state: (state * state).sum(-1), self.prior_mean_square),)

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the drift, shape of ``state``; see ``Process.drift``."""
        return 0.5 * self.rate(time).to(state.dtype).unsqueeze(-1) * self.stationary_score(state)

    def noise(self, time: Tensor) -> Tensor:
        """Return the noise matrix, shape ``(..., component, component)``; see ``Process.noise``."""
        strength = torch.sqrt(self.rate(time))[..., None, None]
        return strength * torch.eye(self.dimension, dtype=strength.dtype, device=strength.device)

    @property
    def noises(self) -> int:
        """Number of independent noises, one for each coordinate."""
        return self.dimension

    def diffuse(self, normals: Tensor, time: Tensor, state: Tensor | None = None) -> Tensor:
        """Return what the noise does to each coordinate, without its matrix; see ``Process.diffuse``."""
        return normals * torch.sqrt(self.rate(time)).to(normals.dtype).unsqueeze(-1)

    @functools.cached_property
    def initial_law(self) -> GaussianMixture:
        """The law of the data, by default Gaussians along two interlocking half circles, symmetric about the origin."""
        if self.data_points is not None:
            return GaussianMixture(means=self.data_points, width=self.data_width)
        moon = []
        for k in range(GAUSSIANS):
            angle = math.pi * (k + 0.5) / GAUSSIANS
            centre = (math.cos(angle) - 0.5, math.sin(angle) - 0.25)
            moon.append((self.data_radius * centre[0], self.data_radius * centre[1]))
        return GaussianMixture(means=(*moon, *((-x, -y) for x, y in moon)), width=self.data_width)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw initial states, shape ``(paths, component)``; see ``Process.sample_initial``."""
        return self.initial_law.sample(paths, generator)

    def initial_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the initial law, shape ``(...)``; see ``Process.initial_log_density``."""
        return self.initial_law.log_density(state.double()).to(state.dtype)
