r"""Soft spheres in a moving anharmonic trap.

.. math:: dx_i = -\frac{4 D}{R^2}\,|x_i - \beta|^2 (x_i - \beta)\,dt
          + \frac{A}{N r^2} \sum_{j=1}^N (x_i - x_j)\,e^{-|x_i - x_j|^2 / 2 r^2}\,dt + \sqrt{2 D}\,dW_i, \qquad
          \beta(t) = a\,(\cos \pi \omega t, \sin \pi \omega t)

The trap is quartic and wider for more particles, :math:`R = r \sqrt{\gamma N}`: in a trap at rest, :math:`a = 0`, one
alone would spread to :math:`\langle |x|^2 \rangle = R / \sqrt\pi`. There the stationary law of all is Boltzmann's, and
:math:`\langle \sum_i x_i \cdot F_i \rangle = -2 N D` (derived).
"""

import dataclasses
import math

import torch
from torch import Tensor

from physcore.known_moment import KnownMoment
from physcore.law import Gaussian
from physcore.particles import particle_components
from physcore.process import Process, Variable
from simulations.interactions.gaussian_repulsion import GaussianRepulsion
from simulations.interactions.total import interaction_forces
from simulations.stationary_moment import stationary_moment
from simulations.validation import check_finite, check_positive

__all__ = ["SoftSpheres"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SoftSpheres(Process):
    r"""Particles with Gaussian repulsion in a plane quartic trap that circles. Dimensionless units.

    Arguments:
        particles: Number :math:`N` of particles.
        repulsion: Strength :math:`A` of the repulsion, [length^2 / time].
        range: Width :math:`r` of the Gaussian repulsion, [length].
        area_ratio: :math:`\gamma`, the width :math:`R^2` of the trap in units of :math:`N r^2`.
        diffusivity: :math:`D`, [length^2 / time].
        amplitude: Radius :math:`a` of the circle of the trap, [length].
        frequency: :math:`\omega`, half a turn of the trap in a time :math:`1 / \omega`, [1 / time].
        initial_width: Standard deviation in each direction about the trap at time zero, [length].

    Raises:
        ValueError: If a parameter is out of range.

    Source:
        Boffi and Vanden-Eijnden, Probability flow solution of the Fokker-Planck equation (2023), soft spheres in an
        anharmonic trap; parameters of the program published with it.
    """

    particles: int = 5
    repulsion: float = 2.0
    range: float = 0.5
    area_ratio: float = 5.0
    diffusivity: float = 0.25
    amplitude: float = 3.0
    frequency: float = 1.0
    initial_width: float = 0.5

    particle_variables = (
        Variable("x", long_name="position along x"),
        Variable("y", long_name="position along y"),
    )

    def __post_init__(self) -> None:
        moving = ("amplitude", "frequency")
        check_positive(**{name: value for name, value in self.parameters.items() if name not in moving})
        check_finite(amplitude=self.amplitude, frequency=self.frequency)

    @property
    def variables(self) -> tuple[Variable, ...]:  # type: ignore[override]
        """All positions along x, then all along y."""
        return particle_components(self.particle_variables, self.particles)

    @property
    def interaction(self) -> GaussianRepulsion:
        """The repulsion of two particles."""
        return GaussianRepulsion(strength=self.repulsion / self.particles, range=self.range)

    @property
    def known_moments(self) -> tuple[KnownMoment, ...]:
        """The virial of the trap at rest; see ``Process.known_moments``."""
        if self.amplitude != 0:
            return ()
        return (stationary_moment("virial", self._virial, 2 * self.particles * self.diffusivity),)

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the drift, shape of ``state``; see ``Process.drift``."""
        positions = state.reshape(*state.shape[:-1], 2, self.particles)
        apart = positions - self._trap(time).unsqueeze(-1).to(state.dtype)
        steepness = 4 * self.diffusivity / (self.area_ratio * self.particles * self.range**2)
        x, y = apart.unbind(-2)
        squared = (x * x + y * y).unsqueeze(-2)
        repelled = interaction_forces(positions.mT, self.interaction).mT
        return (repelled - steepness * squared * apart).flatten(-2)

    def energy(self, state: Tensor) -> Tensor:
        """Return the energy in the trap at time zero, shape ``(...)``; the drift there is minus its gradient.

        Arguments:
            state: States, shape ``(..., component)``.
        """
        positions = state.reshape(*state.shape[:-1], 2, self.particles)
        apart = positions - self._trap(torch.zeros((), dtype=torch.float64)).unsqueeze(-1).to(state.dtype)
        steepness = 1 / (self.area_ratio * self.particles * self.range**2)
        trapped = (self.diffusivity * steepness * apart.square().sum(-2).square()).sum(-1)
        pairs = self.interaction.energy((positions.unsqueeze(-1) - positions.unsqueeze(-2)).movedim(-3, -1))
        return trapped + 0.5 * (pairs.sum((-2, -1)) - self.repulsion)

    @property
    def noise_strengths(self) -> Tensor:
        """The same strength for all components; see ``Process.noise_strengths``."""
        return torch.full((self.dimension,), math.sqrt(2 * self.diffusivity), dtype=torch.float64)

    def noise(self, time: Tensor) -> Tensor:
        """Return the noise matrix, shape ``(component, component)``; see ``Process.noise``."""
        return torch.diag(self.noise_strengths)

    @property
    def initial_law(self) -> Gaussian:
        """The law at time zero, a Gaussian about the trap."""
        mean = self._trap(torch.zeros((), dtype=torch.float64)).repeat_interleave(self.particles, -1)
        return Gaussian(mean=mean, covariance=self.initial_width**2 * torch.eye(self.dimension, dtype=torch.float64))

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw initial states, shape ``(paths, component)``; see ``Process.sample_initial``."""
        return self.initial_law.sample(paths, generator)

    def initial_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the initial law, shape ``(...)``; see ``Process.initial_log_density``."""
        return self.initial_law.log_density(state.double()).to(state.dtype)

    def _trap(self, time: Tensor) -> Tensor:
        angle = (math.pi * self.frequency) * time.double()
        return self.amplitude * torch.stack([torch.cos(angle), torch.sin(angle)], -1)

    def _virial(self, state: Tensor) -> Tensor:
        return -(state * self.drift(state, state.new_zeros(()))).sum(-1)
