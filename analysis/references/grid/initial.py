"""The density at time zero on a grid."""

import itertools

import numpy as np
import torch

from analysis.references.grid.cells import Array, Cells
from analysis.references.grid.pilot import SEED, initial_paths
from physcore.errors import NumericalError
from physcore.process import Process

__all__ = ["initial_mass"]


def initial_mass(process: Process, cells: Cells) -> Array:
    """Return the probability of the cells at time zero, the density at the centres times the volume.

    Along axes that close on themselves the densities of all turns that initial states lie in are added.

    Raises:
        NumericalError: If the density is not a number somewhere.
    """
    points = cells.points()
    mass = np.zeros(cells.counts)
    for turn in itertools.product(*turns(process, cells)):
        logarithm = process.initial_log_density(points + torch.tensor(turn, dtype=torch.float64)).double()
        mass += cells.volume * logarithm.exp().numpy().reshape(cells.counts)
    if not np.isfinite(mass).all():
        raise NumericalError(f"The initial density of {process!r} is not finite on the grid at time 0.")
    return mass


def turns(process: Process, cells: Cells) -> list[Array]:
    """Return the whole turns along each axis that initial states are away from the box, zero on an open axis."""
    if not any(cells.periodic):
        return [np.zeros(1)] * cells.dimension
    spread = initial_paths(process, torch.Generator().manual_seed(SEED)).reshape(-1, process.dimension).numpy()
    found = []
    for axis, closed in enumerate(cells.periodic):
        period = cells.upper[axis] - cells.lower[axis]
        places = np.floor((spread[:, axis] - cells.lower[axis]) / period)
        first, last = places.min(), places.max()
        found.append(period * np.arange(first - 1, last + 2) if closed else np.zeros(1))
    return found
