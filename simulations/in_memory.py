"""Trajectories in memory, their blocks shared between the ranks."""

import numpy as np
import xarray as xr
from torch import Tensor

from physcore.communicator import Communicator
from physcore.trajectory import trajectory_dataset
from simulations.block import BlockSimulator
from simulations.frame_memory import new_memory
from simulations.pipeline import computed
from simulations.recording import attributes, progress
from simulations.simulation import PATHS_PER_GROUP

__all__ = ["block_in_memory", "simulated_in_memory"]

MOST_GROUPS = 16  # in a block in memory: few calls, and little to wait for before the first one


def simulated_in_memory(simulator: BlockSimulator, communicator: Communicator, *, shown: bool) -> xr.Dataset:
    """Simulate all blocks and return them on every rank.

    Arguments:
        simulator: What is simulated.
        communicator: Ranks that share the blocks.
        shown: Whether a terminal shows the progress.
    """
    settings = simulator.simulation
    shape = (simulator.process.dimension, settings.frames, settings.paths)
    states, there = new_memory(shape, simulator.dtype, simulator.threads)
    simulator.prepare()
    there()
    if communicator.size > 1:
        states.zero_()  # ranks fill their own blocks, and the sum of the bits is everything

    def place(block: int, segment: int) -> Tensor:
        frames, span = settings.segment_frames(segment), settings.block_paths(block)
        return states[:, frames.start : frames.stop, span.start : span.stop]

    mine = list(communicator.share(settings.blocks))
    blocks = progress(mine, communicator) if shown else mine
    tasks = ((block, segment) for block in blocks for segment in range(settings.segments))
    for _ in computed(simulator, tasks, place):
        pass
    for component in states.numpy():
        communicator.sum_in_place(component.view(np.int32 if component.itemsize == 4 else np.int64))
    indices = np.arange(settings.paths)
    return trajectory_dataset(simulator.process, states.numpy(), settings.times, indices, attributes(simulator))


def block_in_memory(paths: int, ranks: int) -> int:
    """Return a size of blocks, as even as can be, that gives every rank the same work.

    Arguments:
        paths: Number of paths.
        ranks: Number of ranks.
    """
    if isinstance(paths, bool) or not isinstance(paths, int) or paths < 1:
        return PATHS_PER_GROUP  # the settings say what is wrong with them
    groups = -(-paths // (ranks * PATHS_PER_GROUP))
    if groups <= MOST_GROUPS:
        return groups * PATHS_PER_GROUP
    return PATHS_PER_GROUP * min(range(MOST_GROUPS, MOST_GROUPS // 2, -1), key=lambda size: -groups % size)
