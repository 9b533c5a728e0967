"""Recording a simulation in a run directory, segment by segment, while the next ones are computed."""

import collections
import dataclasses
import functools
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import xarray as xr
from torch import Tensor
from tqdm import tqdm

from physcore.communicator import Communicator
from physcore.errors import DataFileError
from physcore.process import Process
from physcore.registry import name_of
from physcore.stopping import StopRequest
from physcore.storage.lock import locked
from physcore.storage.manifest import MANIFEST_NAME, Manifest, differences, versions
from physcore.storage.publishing import free_space_checked
from physcore.storage.run import RunFolder, open_run
from physcore.trajectory import frames, trajectory_dataset
from simulations.block import BlockSimulator
from simulations.frame_memory import FrameMemory
from simulations.pipeline import computed
from simulations.simulation import Simulation

__all__ = ["attributes", "progress", "recorded", "requested", "same_run"]

Item = TypeVar("Item")

WRITERS = 2  # one fills a file, which HDF5 lets one thread do at a time, while another computes a checksum
MOST_PENDING = 3  # segments that wait to be written or for the disk


def attributes(simulator: BlockSimulator) -> dict[str, Any]:
    """Return the global attributes of the trajectories."""
    process = simulator.process
    return {
        "process": name_of(type(process)) or type(process).__qualname__,
        "integrator": simulator.simulation.scheme,
        "parameters": json.dumps(process.parameters),
        "dt": simulator.simulation.dt,
        "seed": str(simulator.seed),
        "versions": json.dumps(versions()),
    }


def recorded(simulator: BlockSimulator, folder: RunFolder, communicator: Communicator, stop: StopRequest) -> xr.Dataset:
    """Simulate into a run directory, or continue one; return its trajectories, lazily read.

    Arguments:
        simulator: What is simulated.
        folder: The run directory.
        communicator: Ranks that share the blocks.
        stop: Asked before each segment.

    Raises:
        ValueError: If the directory holds something else.
        NumericalError: If a path diverges.
        Stopped: If a stop was requested; what is published stays.
    """
    settings = simulator.simulation
    if communicator.rank == 0:
        folder.claim()
        folder.trajectories.mkdir(exist_ok=True)
    communicator.barrier()
    with locked(folder.path, communicator):
        manifest = _begin(simulator, folder, communicator)
        if not manifest.complete:
            known = _record(simulator, folder, communicator, stop)
            stop.check("the simulation", communicator.any(stop.requested))
            communicator.barrier()
            checksums = folder.checksums(settings.blocks, settings.segments, communicator, known)
            if communicator.rank == 0:
                manifest.completed(checksums).write(folder.path)
            communicator.barrier()
    return open_run(folder.path)


def progress(items: list[Item], communicator: Communicator) -> Iterable[Item]:
    """Yield items with a progress bar, on rank 0 of a terminal."""
    return tqdm(items, desc="simulate", unit="segment", disable=None if communicator.rank == 0 else True)


def _record(
    simulator: BlockSimulator, folder: RunFolder, communicator: Communicator, stop: StopRequest
) -> dict[str, str]:
    """Compute and publish the missing segments of this rank's blocks; some are written while the next is computed.

    Returns:
        SHA-256 of the published segments by file name.
    """
    settings = simulator.simulation
    memory = FrameMemory(simulator.dtype)
    about = attributes(simulator)

    def tasks() -> Iterator[tuple[int, int]]:
        mine = communicator.share(settings.blocks)
        for task in progress(
            [(block, segment) for block in mine for segment in range(settings.segments)], communicator
        ):
            if stop.requested:
                return
            if not folder.segment(*task).exists():
                yield task

    def place(block: int, segment: int) -> Tensor:
        return memory.lend(simulator.shape(block, segment))

    def write(block: int, segment: int, states: Tensor) -> tuple[str, str, Future[None]]:
        times = settings.times[settings.segment_frames(segment)]
        paths = np.asarray(settings.block_paths(block))
        dataset = trajectory_dataset(simulator.process, states.numpy(), times, paths, about)
        digest, publish = folder.write_segment(block, segment, dataset)
        memory.give_back(states)
        return folder.segment(block, segment).name, digest, waiting.submit(publish)

    pending: collections.deque[Future[tuple[str, str, Future[None]]]] = collections.deque()
    published: dict[str, str] = {}

    def publish_first() -> None:
        name, digest, done = pending.popleft().result()
        done.result()
        published[name] = digest

    last_states = functools.partial(_last_states, simulator, folder)
    # Who waits for the disk hardly computes; those that do are few, to leave the simulation its cores.
    with ThreadPoolExecutor(MOST_PENDING) as waiting, ThreadPoolExecutor(WRITERS) as writers:
        for block, segment, states in computed(simulator, tasks(), place, last_states):
            if len(pending) == MOST_PENDING:
                publish_first()
            pending.append(writers.submit(write, block, segment, states))
        while pending:
            publish_first()
    return published


def _last_states(simulator: BlockSimulator, folder: RunFolder, block: int, segment: int) -> Tensor:
    """Return the states that a published segment ends with, shape ``(component, path)``."""
    last = frames(simulator.process, folder.read_segment(block, segment).isel(time=[-1]), simulator.dtype)[0]
    if len(last) != len(simulator.simulation.block_paths(block)):
        raise DataFileError(f"segment {folder.segment(block, segment)} belongs to another run")
    return last.T.contiguous()


def _begin(simulator: BlockSimulator, folder: RunFolder, communicator: Communicator) -> Manifest:
    """Return the manifest of the run, old or new, refusing a different run in the same directory."""
    settings = simulator.simulation
    wanted = requested(simulator.process, settings, simulator.seed)
    if communicator.rank == 0 and not (folder.path / MANIFEST_NAME).exists():
        size = settings.paths * settings.frames * simulator.process.dimension * simulator.dtype.itemsize
        free_space_checked(folder.path, size)
        wanted.write(folder.path)
    communicator.barrier()
    return same_run(folder, wanted)


def requested(process: Process, settings: Simulation, seed: int) -> Manifest:
    """Return the manifest of a simulation that has not begun.

    Arguments:
        process: The process.
        settings: Settings with the number of frames in a file fixed.
        seed: The seed.
    """
    return Manifest(
        process=name_of(type(process)) or type(process).__qualname__,
        parameters=json.loads(json.dumps(process.parameters)),
        seed=str(seed),
        simulation=json.loads(json.dumps(dataclasses.asdict(settings))),
        blocks=settings.blocks,
        segments=settings.segments,
    )


def same_run(folder: RunFolder, wanted: Manifest) -> Manifest:
    """Return the manifest of a run directory after checking that it is of the simulation that is wanted.

    Arguments:
        folder: The run directory.
        wanted: What ``requested`` returned.

    Raises:
        ValueError: If it holds another one; the differences are named.
    """
    manifest = folder.manifest
    changed = differences(manifest.identity, wanted.identity)
    if changed:
        raise ValueError(
            f"{folder.path} holds a different run ({'; '.join(changed)}); name another directory or use --overwrite."
        )
    return manifest
