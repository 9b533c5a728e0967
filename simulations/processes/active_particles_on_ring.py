r"""Active particles with soft repulsion on a ring.

.. math:: dx_i = v_0 g_i\,dt + \sum_{j \ne i} f(x_i - x_j)\,dt + \sqrt{2 \epsilon}\,dW_i, \qquad
          dg_i = -\gamma g_i\,dt + \sqrt{2 \gamma}\,dW_i'

Positions are not wrapped; the force has the period :math:`L` of the ring. It conserves momentum, so the centre of mass
moves like one free active particle with speed :math:`v_0 / \sqrt{N}` and diffusivity :math:`\epsilon / N`, whatever the
repulsion.
"""

import dataclasses
import math

import torch
from torch import Tensor

from physcore.known_moment import KnownMoment
from physcore.particles import particle_components
from physcore.process import Process, Variable
from simulations.initial_arrangement import IndependentNormals
from simulations.interactions.box import check_box
from simulations.interactions.harmonic_repulsion import HarmonicRepulsion
from simulations.interactions.total import interaction_forces
from simulations.persistent_motion import trapped_variance
from simulations.validation import check_finite, check_positive

__all__ = ["ActiveParticlesOnRing"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ActiveParticlesOnRing(Process):
    r"""Self-propelled particles that push each other along a periodic line; they can pass through each other.

    Arguments:
        particles: Number :math:`N` of particles.
        length: Length :math:`L` of the ring, [length].
        speed: Typical speed :math:`v_0`, [length / time].
        persistence_rate: Rate :math:`\gamma` at which the self-propulsion :math:`g` is forgotten, [1 / time].
        diffusivity: :math:`\epsilon`, [length^2 / time].
        stiffness: Stiffness of the harmonic repulsion, [1 / time].
        diameter: Distance of two particles in contact, [length].
        initial_width: Standard deviation of the initial positions about even places on the ring, [length].

    Raises:
        ValueError: If a parameter is not positive and finite or the ring is shorter than two diameters.

    Source:
        Boffi and Vanden-Eijnden, Deep learning probability flows and entropy production rates in active matter (2024),
        particles on a torus; parameters of the program published with it. Departs from it: the force is not smoothed
        at contact, particles start apart. The law of the centre is derived.
    """

    particles: int = 2
    length: float = 16.0
    speed: float = 0.25
    persistence_rate: float = 0.1
    diffusivity: float = 0.1
    stiffness: float = 2.5
    diameter: float = 2.0
    initial_width: float = 1.0

    particle_variables = (
        Variable("x", long_name="position"),
        Variable("g", long_name="self-propulsion"),
    )

    def __post_init__(self) -> None:
        check_positive(**self.parameters)
        check_finite(length=self.length)
        check_box((self.length,), 1, self.interaction.cutoff)

    @property
    def variables(self) -> tuple[Variable, ...]:  # type: ignore[override]
        """All positions, then all self-propulsions."""
        return particle_components(self.particle_variables, self.particles)

    @property
    def interaction(self) -> HarmonicRepulsion:
        """The repulsion of two particles."""
        return HarmonicRepulsion(stiffness=self.stiffness, diameter=self.diameter)

    @property
    def known_moments(self) -> tuple[KnownMoment, ...]:
        """Square displacement of the centre of mass and the variance of its push, at all times."""
        return (
            KnownMoment("square displacement of the centre", self._displacement, self._square_displacement),
            KnownMoment("variance of the mean push", self._mean_push, self._push_variance),
        )

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the drift, shape of ``state``; see ``Process.drift``."""
        position, push = state[..., : self.particles], state[..., self.particles :]
        pushed = interaction_forces(position.unsqueeze(-1), self.interaction, (self.length,)).squeeze(-1)
        return torch.cat([self.speed * push + pushed, -self.persistence_rate * push], -1)

    @property
    def noise_strengths(self) -> Tensor:
        """One strength for positions, one for self-propulsions; see ``Process.noise_strengths``."""
        strengths = [math.sqrt(2 * self.diffusivity), math.sqrt(2 * self.persistence_rate)]
        return torch.tensor(strengths, dtype=torch.float64).repeat_interleave(self.particles)

    def noise(self, time: Tensor) -> Tensor:
        """Return the noise matrix, shape ``(component, component)``; see ``Process.noise``."""
        return torch.diag(self.noise_strengths)

    @property
    def initial_law(self) -> IndependentNormals:
        """The law at time zero: about even places, self-propulsions stationary."""
        places = (torch.arange(self.particles, dtype=torch.float64) + 0.5) * (self.length / self.particles)
        widths = torch.tensor([self.initial_width, 1.0], dtype=torch.float64).repeat_interleave(self.particles)
        return IndependentNormals(mean=torch.cat([places, torch.zeros_like(places)]), width=widths)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw initial states, shape ``(paths, component)``; see ``Process.sample_initial``."""
        return self.initial_law.sample(paths, generator)

    def initial_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the initial law, shape ``(...)``; see ``Process.initial_log_density``."""
        return self.initial_law.log_density(state)

    def _displacement(self, state: Tensor) -> Tensor:
        return (state[..., : self.particles].mean(-1) - self.length / 2).square()

    def _mean_push(self, state: Tensor) -> Tensor:
        return state[..., self.particles :].mean(-1).square()

    def _push_variance(self, time: Tensor) -> Tensor:
        return torch.full_like(torch.as_tensor(time, dtype=torch.float64), 1 / self.particles)

    def _square_displacement(self, time: Tensor) -> Tensor:
        return trapped_variance(
            time,
            stiffness=0.0,
            memory_rate=self.persistence_rate,
            push_variance=self.speed**2 / self.particles,
            diffusivity=self.diffusivity / self.particles,
            initial=self.initial_width**2 / self.particles,
        )
