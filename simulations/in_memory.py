"""Trajectories in memory, their blocks shared between the ranks."""

import numpy as np
import torch
import xarray as xr

from physcore.communicator import Communicator
from physcore.trajectory import trajectory_dataset
from simulations.block import BlockSimulator, empty
from simulations.recording import attributes, progress
from simulations.simulation import PATHS_PER_GROUP

__all__ = ["block_in_memory", "simulated_in_memory"]

LARGEST_BLOCK = 65_536


def simulated_in_memory(simulator: BlockSimulator, communicator: Communicator, *, shown: bool) -> xr.Dataset:
    """Simulate all blocks and return them on every rank.

    Arguments:
        simulator: What is simulated.
        communicator: Ranks that share the blocks.
        shown: Whether a terminal shows the progress.
    """
    settings = simulator.simulation
    mine = list(communicator.share(settings.blocks))
    shape = (simulator.process.dimension, settings.frames, settings.paths)
    # Ranks fill their own blocks of zeros, and the sum of the bits is everything.
    states = empty(shape, simulator.dtype) if communicator.size == 1 else torch.zeros(shape, dtype=simulator.dtype)
    for block in progress(mine, communicator) if shown else mine:
        span, before = settings.block_paths(block), None
        for segment in range(settings.segments):
            frames = settings.segment_frames(segment)
            part = states[:, frames.start : frames.stop, span.start : span.stop]
            before = simulator.segment(block, segment, before, part)[:, -1]
    for component in states.numpy():
        communicator.sum_in_place(component.view(np.int32 if component.itemsize == 4 else np.int64))
    indices = np.arange(settings.paths)
    return trajectory_dataset(simulator.process, states.numpy(), settings.times, indices, attributes(simulator))


def block_in_memory(paths: int, ranks: int) -> int:
    """Return a size of blocks that gives every rank the same work in as few calls as the cache likes.

    Arguments:
        paths: Number of paths.
        ranks: Number of ranks.
    """
    if isinstance(paths, bool) or not isinstance(paths, int) or paths < 1:
        return PATHS_PER_GROUP  # the settings say what is wrong with them
    share = -(-paths // (ranks * PATHS_PER_GROUP)) * PATHS_PER_GROUP
    return min(share, LARGEST_BLOCK)
