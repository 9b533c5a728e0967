r"""Particles with harmonic repulsion in a moving harmonic trap, solved exactly in any number.

.. math:: dx_i = (\beta(t) - x_i)\,dt + \frac{\alpha}{N} \sum_{j=1}^N (x_i - x_j)\,dt + \sqrt{2 D}\,dW_i, \qquad
          \beta(t) = a\,(\cos \pi \omega t, \sin \pi \omega t)

The sum is :math:`\alpha (x_i - \bar x)`: the centre follows the trap at rate 1, the particles return to the centre at
rate :math:`1 - \alpha`. The law stays Gaussian. Its mean is that of one particle in the trap, and in each direction

.. math:: \Sigma = \lambda_1 \tfrac1N 1 1^T + \lambda_{1 - \alpha} \left(I - \tfrac1N 1 1^T\right), \qquad
          \lambda_r = \sigma_0^2 e^{-2 r t} + \tfrac{D}{r} \left(1 - e^{-2 r t}\right)
"""

import dataclasses
import math

import torch
from torch import Tensor

from physcore.law import Gaussian
from physcore.particles import particle_components
from physcore.process import Variable
from physcore.solvable import SolvableProcess
from simulations.ordered_sum import ordered_sum
from simulations.validation import check_finite, check_positive

__all__ = ["MovingTrap"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MovingTrap(SolvableProcess):
    r"""Interacting particles in a plane trap that circles. The trap's rate is the unit of 1 / time.

    Arguments:
        particles: Number :math:`N` of particles.
        repulsion: Strength :math:`\alpha` of the repulsion relative to the trap, below 1; attraction when negative.
        diffusivity: :math:`D`, [length^2 / time].
        amplitude: Radius :math:`a` of the circle of the trap, [length].
        frequency: :math:`\omega`, half a turn of the trap in a time :math:`1 / \omega`, [1 / time].
        initial_width: Standard deviation :math:`\sigma_0` in each direction about the trap at time zero, [length].

    Raises:
        ValueError: If a parameter is out of range.

    Source:
        Boffi and Vanden-Eijnden, Probability flow solution of the Fokker-Planck equation (2023), interacting particles
        in a moving trap, with their parameters. The solution is derived.
    """

    particles: int = 50
    repulsion: float = 0.5
    diffusivity: float = 0.25
    amplitude: float = 2.0
    frequency: float = 1.0
    initial_width: float = 0.25

    particle_variables = (
        Variable("x", long_name="position along x"),
        Variable("y", long_name="position along y"),
    )

    def __post_init__(self) -> None:
        check_positive(particles=self.particles, diffusivity=self.diffusivity, initial_width=self.initial_width)
        check_finite(repulsion=self.repulsion, amplitude=self.amplitude, frequency=self.frequency)
        if self.repulsion >= 1:
            raise ValueError(
                f"`repulsion` must be below 1, where the trap stops holding the particles; got {self.repulsion}."
            )

    @property
    def variables(self) -> tuple[Variable, ...]:  # type: ignore[override]
        """All positions along x, then all along y."""
        return particle_components(self.particle_variables, self.particles)

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the drift, shape of ``state``; see ``Process.drift``."""
        positions = state.reshape(*state.shape[:-1], 2, self.particles)
        angle = (math.pi * self.frequency) * time.double()
        trap = self.amplitude * torch.stack([torch.cos(angle), torch.sin(angle)], -1).unsqueeze(-1).to(state.dtype)
        centre = ordered_sum(positions) * (1 / self.particles)
        return (trap - self.repulsion * centre - (1 - self.repulsion) * positions).flatten(-2)

    def jacobian(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the constant Jacobian, shape ``(..., component, component)``; see ``Process.jacobian``."""
        together, apart = (matrix.to(state) for matrix in self._projections())
        return (-together - (1 - self.repulsion) * apart).expand(*state.shape, self.dimension)

    @property
    def noise_strengths(self) -> Tensor:
        """The same strength for all components; see ``Process.noise_strengths``."""
        return torch.full((self.dimension,), math.sqrt(2 * self.diffusivity), dtype=torch.float64)

    def noise(self, time: Tensor) -> Tensor:
        """Return the noise matrix, shape ``(component, component)``; see ``Process.noise``."""
        return torch.diag(self.noise_strengths)

    def law(self, time: Tensor) -> Gaussian:
        """Return the exact Gaussian law at times of shape ``(...)``, in float64; see ``SolvableProcess.law``."""
        time = torch.as_tensor(time, dtype=torch.float64)
        mean = self._mean(time).repeat_interleave(self.particles, -1)
        together, apart = (matrix.to(time.device) for matrix in self._projections())
        central, relative = (self._variance(time, rate)[..., None, None] for rate in (1.0, 1 - self.repulsion))
        return Gaussian(mean=mean, covariance=central * together + relative * apart)

    def transition(self, state: Tensor, start: Tensor, time: Tensor) -> Gaussian:
        """Return the exact law given an earlier state; see ``SolvableProcess.transition``.

        What the centre and the particles are off their mean relaxes, each at its rate.
        """
        together, apart = (matrix.to(state.device) for matrix in self._projections())
        before, after = (self._mean(t).repeat_interleave(self.particles, -1) for t in (start, time))
        off, mean, covariance = state - before, after, torch.zeros_like(together)
        for rate, part in ((1.0, together), (1 - self.repulsion, apart)):
            exponent = -rate * (time - start)
            mean = mean + torch.exp(exponent).unsqueeze(-1) * (off @ part)
            grown = -self.diffusivity / rate * torch.expm1(2 * exponent)
            covariance = covariance + grown[..., None, None] * part
        return Gaussian(mean=mean, covariance=covariance)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw initial states, shape ``(paths, component)``; see ``Process.sample_initial``."""
        return self.law(torch.zeros(())).sample(paths, generator)

    def _projections(self) -> tuple[Tensor, Tensor]:
        """Return what takes the centre out of a state, and the positions about it, shape ``(component, component)``."""
        same = torch.full((self.particles, self.particles), 1 / self.particles, dtype=torch.float64)
        together = torch.block_diag(same, same)  # type: ignore[no-untyped-call]
        return together, torch.eye(self.dimension, dtype=torch.float64) - together

    def _mean(self, time: Tensor) -> Tensor:
        """Return the mean position of every particle, shape ``(..., 2)``."""
        turning = math.pi * self.frequency
        response = self.amplitude / complex(1, turning)
        turned = torch.polar(torch.ones_like(time), turning * time)
        mean = response * turned + (self.amplitude - response) * torch.exp(-time)
        return torch.view_as_real(mean)

    def _variance(self, time: Tensor, rate: float) -> Tensor:
        relaxed = torch.exp(-2 * rate * time)
        return self.initial_width**2 * relaxed + self.diffusivity / rate * (1 - relaxed)
