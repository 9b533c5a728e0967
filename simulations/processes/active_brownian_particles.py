r"""Active Brownian particles with soft repulsion in a periodic square box.

.. math:: dr_i = v_0 u_i\,dt + \sum_{j \ne i} f(r_i - r_j)\,dt + \sqrt{2 D}\,dW_i, \qquad
          d\theta_i = \sqrt{2 D_r}\,dW_i', \qquad u_i = (\cos \theta_i, \sin \theta_i)

Persistent swimmers block each other and separate into a dense and a dilute phase, without any attraction. The
repulsion conserves momentum, so the centre of mass moves like the mean of free swimmers. Positions are not wrapped.
"""

import dataclasses
import math

import torch
from torch import Tensor

from physcore.known_moment import KnownMoment
from physcore.particles import particle_components
from physcore.process import Process, Variable
from simulations.initial_arrangement import IndependentNormals, even_headings, square_lattice
from simulations.interactions.box import check_box
from simulations.interactions.harmonic_repulsion import HarmonicRepulsion
from simulations.interactions.total import interaction_forces
from simulations.persistent_motion import relaxed
from simulations.validation import check_finite, check_positive

__all__ = ["ActiveBrownianParticles"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ActiveBrownianParticles(Process):
    r"""Self-propelled soft discs; their diameter is the unit of length, mobility is 1.

    Arguments:
        particles: Number :math:`N` of particles, at least 2; thousands are found by neighbour lists.
        packing_fraction: Area of the discs over that of the box, which fixes the side of the box.
        speed: Swimming speed :math:`v_0`, [length / time].
        rotational_diffusivity: Diffusivity :math:`D_r` of the headings, [1 / time].
        diffusivity: Translational diffusivity :math:`D`, zero for athermal particles, [length^2 / time].
        stiffness: Stiffness of the harmonic repulsion; two head-on overlap by ``speed / stiffness``, [1 / time].
        initial_width: Standard deviation of the initial positions about a square lattice, [length].
        initial_spread: Standard deviation of the initial headings about even directions, [radian].

    Raises:
        ValueError: If a parameter is out of range or the box is narrower than two diameters.

    Source:
        Fily and Marchetti, Athermal phase separation of self-propelled particles with no alignment (2012). Thermal
        spheres, :math:`D_r = 3 D` per squared diameter: Redner, Hagan and Baskaran, Structure and dynamics of a
        phase-separating active colloidal fluid (2013). The parameters are ours, at the Peclet number
        :math:`v_0 / D = 50`. The law of the centre is derived.
    """

    particles: int = 8
    packing_fraction: float = 0.5
    speed: float = 1.0
    rotational_diffusivity: float = 0.06
    diffusivity: float = 0.02
    stiffness: float = 20.0
    initial_width: float = 0.2
    initial_spread: float = 1.0

    particle_variables = (
        Variable("x", long_name="position along x"),
        Variable("y", long_name="position along y"),
        Variable("theta", units="radian", long_name="heading", symbol=r"\theta"),
    )

    def __post_init__(self) -> None:
        check_positive(**{name: value for name, value in self.parameters.items() if name != "diffusivity"})
        check_finite(diffusivity=self.diffusivity)
        if self.diffusivity < 0:
            raise ValueError(f"`diffusivity` must not be negative; got {self.diffusivity}.")
        if self.particles < 2:
            raise ValueError(f"`particles` must be at least 2; got {self.particles}.")
        check_box(self.box, 2, self.interaction.cutoff)

    @property
    def variables(self) -> tuple[Variable, ...]:  # type: ignore[override]
        """All positions along x, then all along y, then all headings."""
        return particle_components(self.particle_variables, self.particles)

    @property
    def interaction(self) -> HarmonicRepulsion:
        """The repulsion of two particles."""
        return HarmonicRepulsion(stiffness=self.stiffness, diameter=1.0)

    @property
    def box(self) -> tuple[float, float]:
        """Periods of the box, [length]."""
        side = math.sqrt(self.particles * math.pi / (4 * self.packing_fraction))
        return side, side

    @property
    def known_moments(self) -> tuple[KnownMoment, ...]:
        """Square displacement of the centre of mass and mean square of the mean heading, at all times."""
        return (
            KnownMoment("square displacement of the centre", self._displacement, self._square_displacement),
            KnownMoment("polarisation", self._polarisation, self._mean_polarisation),
        )

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the drift, shape of ``state``; see ``Process.drift``."""
        positions, heading = self._parts(state)
        swim = self.speed * torch.stack([torch.cos(heading), torch.sin(heading)], -2)
        pushed = interaction_forces(positions.mT, self.interaction, self.box).mT
        return torch.cat([(swim + pushed).flatten(-2), torch.zeros_like(heading)], -1)

    @property
    def noise_strengths(self) -> Tensor:
        """One strength for positions, one for headings; see ``Process.noise_strengths``."""
        strengths = [math.sqrt(2 * self.diffusivity)] * 2 + [math.sqrt(2 * self.rotational_diffusivity)]
        return torch.tensor(strengths, dtype=torch.float64).repeat_interleave(self.particles)

    def noise(self, time: Tensor) -> Tensor:
        """Return the noise matrix, of the headings alone at zero diffusivity; see ``Process.noise``."""
        strengths = self.noise_strengths
        return torch.diag(strengths)[:, strengths != 0]

    @property
    def initial_law(self) -> IndependentNormals:
        """The law at time zero: about a square lattice, headings about even directions."""
        places = square_lattice(self.particles, self.box[0])
        mean = torch.cat([places.flatten(), even_headings(self.particles)])
        widths = torch.tensor([self.initial_width, self.initial_width, self.initial_spread], dtype=torch.float64)
        return IndependentNormals(mean=mean, width=widths.repeat_interleave(self.particles))

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw initial states, shape ``(paths, component)``; see ``Process.sample_initial``."""
        return self.initial_law.sample(paths, generator)

    def initial_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the initial law, shape ``(...)``; see ``Process.initial_log_density``."""
        return self.initial_law.log_density(state)

    def _parts(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return positions, shape ``(..., 2, particle)``, and headings, shape ``(..., particle)``."""
        positions = state[..., : 2 * self.particles].reshape(*state.shape[:-1], 2, self.particles)
        return positions, state[..., 2 * self.particles :]

    def _displacement(self, state: Tensor) -> Tensor:
        start = square_lattice(self.particles, self.box[0]).mean(-1)
        return (self._parts(state)[0].mean(-1) - start.to(state)).square().sum(-1)

    def _polarisation(self, state: Tensor) -> Tensor:
        heading = self._parts(state)[1]
        return torch.cos(heading).mean(-1).square() + torch.sin(heading).mean(-1).square()

    def _mean_polarisation(self, time: Tensor) -> Tensor:
        time = torch.as_tensor(time, dtype=torch.float64)
        # Mean headings sum to zero, so that different particles contribute minus what each does with itself.
        memory = math.exp(-(self.initial_spread**2)) * torch.exp(-2 * self.rotational_diffusivity * time)
        return (1 - memory) / self.particles

    def _square_displacement(self, time: Tensor) -> Tensor:
        r"""Return :math:`2 v_0 \int_0^t E[R \cdot U] ds + 4 D t / N + 2 \sigma_0^2 / N`, :math:`R` from the start."""
        time, rate = torch.as_tensor(time, dtype=torch.float64), self.rotational_diffusivity
        alone = (time - relaxed(time, rate)) / rate
        memory = (relaxed(time, rate) - relaxed(time, 2 * rate)) / rate
        swum = 2 * self.speed**2 * (alone - math.exp(-(self.initial_spread**2)) * memory)
        return (swum + 4 * self.diffusivity * time + 2 * self.initial_width**2) / self.particles
