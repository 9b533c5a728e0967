r"""Where many particles start: on a lattice with Gaussian jitter, headings spread evenly over the circle.

A Gaussian initial law has a density everywhere, unlike particles thrown evenly into a box, and a lattice keeps soft
particles apart. Of the headings neighbours on the lattice have distant ones, and their unit vectors sum to zero.
"""

import dataclasses
import math

import torch
from torch import Tensor

__all__ = ["IndependentNormals", "even_headings", "square_lattice"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class IndependentNormals:
    """Normal components, each for itself, without the dense covariance that thousands of them would need.

    Arguments:
        mean: Means, shape ``(component,)``.
        width: Standard deviations, shape ``(component,)``.
    """

    mean: Tensor
    width: Tensor

    def sample(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw independent states.

        Arguments:
            paths: Number of states.
            generator: Source of randomness.

        Returns:
            Shape ``(paths, component)``, in float64.
        """
        return self.mean + self.width * torch.randn(paths, len(self.mean), generator=generator, dtype=torch.float64)

    def log_density(self, state: Tensor) -> Tensor:
        """Return the log density, in the precision of the states.

        Arguments:
            state: States, shape ``(..., component)``.

        Returns:
            Shape ``(...)``.
        """
        mean, width = self.mean.to(state.device), self.width.to(state.device)
        apart = (state.double() - mean) / width
        density: Tensor = -0.5 * apart.square().sum(-1) - width.log().sum() - 0.5 * len(mean) * math.log(2 * math.pi)
        return density.to(state.dtype)


def square_lattice(particles: int, side: float) -> Tensor:
    """Return places in a square, row by row.

    Arguments:
        particles: Number of particles; places of the last rows stay empty where it is no square.
        side: Side of the square, [length].

    Returns:
        Shape ``(2, particle)``, [length].
    """
    across = math.isqrt(particles - 1) + 1
    number = torch.arange(particles)
    return (torch.stack([number % across, number // across]).double() + 0.5) * (side / across)


def even_headings(particles: int) -> Tensor:
    """Return angles that divide the circle evenly, in an order in which neighbours are far apart.

    Arguments:
        particles: Number of particles.

    Returns:
        Shape ``(particle,)``, between 0 and 2 pi, [radian].
    """
    golden = round(particles * (math.sqrt(5) - 1) / 2)
    step = next(s for s in range(max(golden, 1), particles + 2) if math.gcd(s, particles) == 1)
    return (torch.arange(particles) * step % particles).double() * (2 * math.pi / particles)
