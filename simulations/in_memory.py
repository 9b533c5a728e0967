"""Trajectories in memory, their blocks shared between the ranks."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from physcore.communicator import Communicator
from physcore.shared_memory import shared_array
from physcore.trajectory import trajectory_dataset
from simulations.block import BlockSimulator
from simulations.frame_memory import FrameMemory, new_memory
from simulations.pipeline import Task, computed
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
    mine = list(communicator.share(settings.blocks))
    blocks = progress(mine, communicator) if shown else mine
    tasks = ((block, segment) for block in blocks for segment in range(settings.segments))
    if communicator.size == 1:
        states = _in_place(simulator, tasks, shape)
    else:
        states = _of_all_ranks(simulator, tasks, shape, communicator)
    indices = np.arange(settings.paths)
    return trajectory_dataset(simulator.process, states, settings.times, indices, attributes(simulator))


def _in_place(
    simulator: BlockSimulator, tasks: Iterable[Task], shape: tuple[int, int, int], *, zeros: bool = False
) -> NDArray[Any]:
    """Return the frames of the tasks where they were computed; elsewhere anything, or zeros if asked for."""
    settings = simulator.simulation
    states, there = new_memory(shape, simulator.dtype, simulator.threads)
    simulator.prepare()
    there()
    if zeros:
        states.zero_()

    def place(block: int, segment: int) -> Tensor:
        frames, paths = settings.segment_frames(segment), settings.block_paths(block)
        return states[:, frames.start : frames.stop, paths.start : paths.stop]

    for _ in computed(simulator, tasks, place):
        pass
    return states.numpy()


def _of_all_ranks(
    simulator: BlockSimulator, tasks: Iterable[Task], shape: tuple[int, int, int], communicator: Communicator
) -> NDArray[Any]:
    """Return the frames of all ranks, each of which computes its tasks."""
    settings, memory = simulator.simulation, FrameMemory(simulator.dtype)
    with shared_array(shape, settings.dtype, communicator) as shared:
        if shared is None:
            states = _in_place(simulator, tasks, shape, zeros=True)
            for component in states:  # the sum of the bits of all ranks is everything
                communicator.sum_in_place(component.view(np.int32 if component.itemsize == 4 else np.int64))
            return states
        for block, segment, frames in computed(simulator, tasks, lambda *task: memory.lend(simulator.shape(*task))):
            first_frame, first_path = settings.segment_frames(segment).start, settings.block_paths(block).start
            shared.write(frames.numpy(), (0, first_frame, first_path))
            memory.give_back(frames)
        communicator.barrier()
        return shared.read()


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
