"""The forces between particles, by the quicker of the two ways."""

import math
from collections.abc import Sequence

from torch import Tensor

from simulations.interactions.all_pairs import all_pair_forces
from simulations.interactions.box import check_box
from simulations.interactions.neighbours import FEWEST_CELLS, MARGIN, cells_across, neighbour_forces
from simulations.interactions.pair_force import PairForce
from simulations.interactions.pair_kernel import pair_kernel

__all__ = ["interaction_forces"]

FEWEST_PARTICLES = 256  # below, the lists cost more than they save
FEWEST_BLOCKS = 4  # of 3 cells across: else most pairs are neighbours


def interaction_forces(positions: Tensor, interaction: PairForce, box: Sequence[float] | None = None) -> Tensor:
    """Return the forces of a pair interaction on all particles, over all pairs or over neighbours.

    Which way is taken follows from the number of particles and the cutoff alone, never from the number of paths.

    Arguments:
        positions: Positions, shape ``(..., particle, dimension)``, [length].
        interaction: The pair interaction.
        box: Periods of the box, one for each direction, [length]; None in open space.

    Returns:
        Shape of ``positions``, [energy / length].
    """
    particles, dimension = positions.shape[-2:]
    cutoff, kernel = interaction.cutoff, pair_kernel(positions, interaction)
    if not by_neighbours(particles, dimension, box, cutoff):
        if kernel is None:
            return all_pair_forces(positions, box, interaction.force)
        return kernel.over_all_pairs(positions, box)
    if kernel is None:
        return neighbour_forces(positions, box, cutoff, interaction.force)
    check_box(box, dimension, cutoff)
    across = cells_across(particles, dimension, box, cutoff)
    return kernel.over_neighbours(positions, box, cutoff * (1 + MARGIN), across)


def by_neighbours(particles: int, dimension: int, box: Sequence[float] | None, cutoff: float) -> bool:
    """Return whether neighbour lists are quicker than all pairs.

    Arguments:
        particles: Number of particles.
        dimension: Number of directions.
        box: Periods of the box; None in open space.
        cutoff: Distance from which on the force vanishes.
    """
    if particles < FEWEST_PARTICLES or not math.isfinite(cutoff):
        return False
    shape = cells_across(particles, dimension, box, cutoff)
    return min(shape) >= FEWEST_CELLS and math.prod(shape) >= FEWEST_BLOCKS * FEWEST_CELLS**dimension
