"""Forces over all pairs, each pair once, by fixed tables and plain sums: can be traced, batched and differentiated."""

import functools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from simulations.interactions.box import displacements
from simulations.ordered_sum import ordered_sum

__all__ = ["all_pair_forces"]


@functools.lru_cache(maxsize=16)
def pair_tables(particles: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return who meets whom.

    Arguments:
        particles: Number of particles.

    Returns:
        First and second particle of each pair, shape ``(pair,)``; the pairs of each particle and the sign with which
        it feels their force, shape ``(particle, particle - 1)``.
    """
    # In numpy, so that nothing is recorded if the first call is traced.
    first, second = np.triu_indices(particles, 1)
    number = np.zeros((particles, particles), dtype=np.int64)
    number[first, second] = number[second, first] = np.arange(len(first))
    others = ~np.eye(particles, dtype=bool)
    sign = np.where(np.tri(particles, k=-1), -1.0, 1.0)
    shape = (particles, particles - 1)
    tables = (first, second, number[others].reshape(shape), sign[others].reshape(shape))
    first_particle, second_particle, pairs, signs = (torch.from_numpy(table) for table in tables)
    return first_particle, second_particle, pairs, signs


def all_pair_forces(positions: Tensor, box: Sequence[float] | None, force: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the forces on all particles, by the third law from each pair once.

    Arguments:
        positions: Positions, shape ``(..., particle, dimension)``, [length].
        box: Periods, one for each direction; None in open space.
        force: Odd pair force as a function of displacements ``(..., dimension)``.

    Returns:
        Shape of ``positions``, [energy / length].
    """
    first, second, pairs, sign = (table.to(positions.device) for table in pair_tables(positions.shape[-2]))
    sign = sign.to(positions.dtype)
    forces = force(displacements(positions.unbind(-1), first, second, box))
    felt = []
    for part in forces.unbind(-1):
        each = part.index_select(-1, pairs.flatten()).reshape(*part.shape[:-1], *pairs.shape)
        felt.append(ordered_sum(each * sign).squeeze(-1))
    return torch.stack(felt, -2).mT
