"""Recording a simulation in a run directory, segment by segment, while the next ones are computed."""

import collections
import concurrent.futures
import dataclasses
import json
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
import xarray as xr
from torch import Tensor
from tqdm import tqdm

from physcore.communicator import Communicator
from physcore.errors import DataFileError
from physcore.registry import name_of
from physcore.stopping import StopRequest
from physcore.storage.lock import locked
from physcore.storage.manifest import MANIFEST_NAME, Manifest, differences, versions
from physcore.storage.publishing import free_space_checked
from physcore.storage.run import RunFolder, open_run
from physcore.trajectory import frames, trajectory_dataset
from simulations.block import BlockSimulator

__all__ = ["attributes", "progress", "recorded"]

Item = TypeVar("Item")

WRITERS = 2  # one waits for the disk while the other fills a file


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
    mine = communicator.share(settings.blocks)
    tasks = [(block, segment) for block in mine for segment in range(settings.segments)]
    pending: collections.deque[concurrent.futures.Future[tuple[str, str]]] = collections.deque()
    published: list[tuple[str, str]] = []
    states: Tensor | None = None
    with concurrent.futures.ThreadPoolExecutor(WRITERS) as writers:
        for block, segment in progress(tasks, communicator):
            if stop.requested:
                break
            if segment == 0 or folder.segment(block, segment).exists():
                states = None
            if folder.segment(block, segment).exists():
                continue
            if segment > 0 and states is None:
                states = _last_states(simulator, folder, block, segment - 1)
            computed = simulator.segment(block, segment, states)
            states = computed[:, -1]
            if len(pending) == WRITERS:
                published.append(pending.popleft().result())
            pending.append(writers.submit(_publish, simulator, folder, block, segment, computed))
        published += [future.result() for future in pending]
    return dict(published)


def _last_states(simulator: BlockSimulator, folder: RunFolder, block: int, segment: int) -> Tensor:
    """Return the states that a published segment ends with, shape ``(component, path)``."""
    last = frames(simulator.process, folder.read_segment(block, segment).isel(time=[-1]), simulator.dtype)[0]
    if len(last) != len(simulator.simulation.block_paths(block)):
        raise DataFileError(f"segment {folder.segment(block, segment)} belongs to another run")
    return last.T


def _publish(simulator: BlockSimulator, folder: RunFolder, block: int, segment: int, states: Tensor) -> tuple[str, str]:
    """Write a segment; return its file name and SHA-256."""
    settings = simulator.simulation
    times = settings.times[settings.segment_frames(segment)]
    paths = np.asarray(settings.block_paths(block))
    dataset = trajectory_dataset(simulator.process, states.numpy(), times, paths, attributes(simulator))
    return folder.segment(block, segment).name, folder.write_segment(block, segment, dataset)


def _begin(simulator: BlockSimulator, folder: RunFolder, communicator: Communicator) -> Manifest:
    """Return the manifest of the run, old or new, refusing a different run in the same directory."""
    settings = simulator.simulation
    about = attributes(simulator)
    wanted = Manifest(
        process=about["process"],
        parameters=json.loads(about["parameters"]),
        seed=about["seed"],
        simulation=json.loads(json.dumps(dataclasses.asdict(settings))),
        blocks=settings.blocks,
        segments=settings.segments,
    )
    if communicator.rank == 0 and not (folder.path / MANIFEST_NAME).exists():
        size = settings.paths * settings.frames * simulator.process.dimension * simulator.dtype.itemsize
        free_space_checked(folder.path, size)
        wanted.write(folder.path)
    communicator.barrier()
    manifest = folder.manifest
    changed = differences(manifest.identity, wanted.identity)
    if changed:
        raise ValueError(
            f"{folder.path} holds a different run ({'; '.join(changed)}); name another directory or use --overwrite."
        )
    return manifest
