"""The verb ``simulate``: from a process to its trajectories, in memory or in a run directory."""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from tqdm import tqdm

from physcore.communicator import Communicator, SerialCommunicator
from physcore.errors import DataFileError
from physcore.process import Process
from physcore.registry import build, name_of
from physcore.stopping import NEVER, StopRequest
from physcore.storage.lock import locked
from physcore.storage.manifest import MANIFEST_NAME, Manifest, differences, versions
from physcore.storage.publishing import free_space_checked
from physcore.storage.run import RunFolder, open_run
from physcore.streams import random_seed, validated_seed
from physcore.trajectory import trajectory_dataset
from simulations.block import BlockSimulator
from simulations.simulation import Simulation

__all__ = ["simulate"]


def simulate(
    process: Process,
    *,
    paths: int,
    duration: float,
    dt: float,
    save_every: int = 1,
    start: float = 0.0,
    scheme: str = "euler-maruyama",
    dtype: Literal["float32", "float64"] = "float32",
    paths_per_block: int = 8192,
    frames_per_segment: int = 50,
    seed: int | None = None,
    out: str | Path | None = None,
    device: str | torch.device = "cpu",
    communicator: Communicator | None = None,
    stop: StopRequest = NEVER,
) -> xr.Dataset:
    """Simulate independent paths of a process.

    Arguments:
        process: The process.
        paths: Number of paths.
        duration: Simulated time, [time].
        dt: Time step, [time].
        save_every: Steps between saved frames.
        start: Time of the initial state, [time].
        scheme: Registered name of the integration scheme.
        dtype: Precision of the states.
        paths_per_block: Paths in a block, the unit of work, a multiple of 1024.
        frames_per_segment: Frames in one file of a block.
        seed: Seed, 0 <= seed < 2^64; drawn and stored when None.
        out: Run directory to write; trajectories stay in memory when None. A directory that holds the same run,
            finished or not, is continued; nothing is computed twice.
        device: Where the steps are computed.
        communicator: Ranks that share the blocks; serial when None. Every rank returns the same Dataset.
        stop: Asked before each segment.

    Returns:
        Trajectories with dimensions ``path`` and ``time``; lazily read when ``out`` is given.

    Raises:
        ValueError: If a setting is out of range, or ``out`` holds a different run.
        NumericalError: If a path diverges; step, time and path are named.
        Stopped: If a stop was requested; what is published stays, and the next call continues.
    """
    settings = Simulation(
        paths=paths,
        duration=duration,
        dt=dt,
        save_every=save_every,
        start=start,
        scheme=scheme,
        dtype=dtype,
        paths_per_block=paths_per_block,
        frames_per_segment=frames_per_segment,
    )
    communicator = communicator or SerialCommunicator()
    seed = validated_seed(communicator.broadcast(random_seed() if seed is None else seed))
    simulator = BlockSimulator(
        process=process,
        scheme=build("physcore.schemes", scheme, {}),
        simulation=settings,
        seed=seed,
        device=torch.device(device),
    )
    if out is None:
        return _simulate_in_memory(simulator, communicator)
    return _simulate_to_folder(simulator, RunFolder(Path(out)), communicator, stop)


def _attributes(simulator: BlockSimulator) -> dict[str, Any]:
    process = simulator.process
    return {
        "process": name_of(type(process)) or type(process).__qualname__,
        "integrator": simulator.simulation.scheme,
        "parameters": json.dumps(process.parameters),
        "dt": simulator.simulation.dt,
        "seed": str(simulator.seed),
        "versions": json.dumps(versions()),
    }


def _simulate_in_memory(simulator: BlockSimulator, communicator: Communicator) -> xr.Dataset:
    settings = simulator.simulation
    mine: dict[int, Tensor] = {}
    for block in _progress(list(communicator.share(settings.blocks)), communicator):
        parts: list[Tensor] = []
        for segment in range(settings.segments):
            before = parts[-1][:, -1].T.to(simulator.device) if parts else None
            parts.append(simulator.segment(block, segment, before))
        mine[block] = torch.cat(parts, 1)
    blocks = {block: states for part in communicator.gather(mine) for block, states in part.items()}
    states = torch.cat([blocks[block] for block in sorted(blocks)], -1).numpy()
    attributes = _attributes(simulator)
    return trajectory_dataset(simulator.process, states, settings.times, np.arange(settings.paths), attributes)


def _simulate_to_folder(
    simulator: BlockSimulator, folder: RunFolder, communicator: Communicator, stop: StopRequest
) -> xr.Dataset:
    settings = simulator.simulation
    if communicator.rank == 0:
        _claim(folder)
    communicator.barrier()
    with locked(folder.path, communicator):
        manifest = _begin(simulator, folder, communicator)
        if not manifest.complete:
            mine = list(communicator.share(settings.blocks))
            tasks = [(block, segment) for block in mine for segment in range(settings.segments)]
            for block, segment in _progress(tasks, communicator):
                if stop.requested:
                    break
                _publish_segment(simulator, folder, block, segment)
            stop.check("the simulation", communicator.any(stop.requested))
            communicator.barrier()
            checksums = folder.checksums(settings.blocks, settings.segments, communicator)
            if communicator.rank == 0:
                manifest.completed(checksums).write(folder.path)
            communicator.barrier()
    return open_run(folder.path)


def _claim(folder: RunFolder) -> None:
    """Make the run directory, refusing one that holds something else."""
    path = folder.path
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(20, f"`out` = {path} is a file; name a directory")
    if path.is_dir() and any(path.iterdir()) and not (path / MANIFEST_NAME).exists() and not _only_ours(path):
        raise ValueError(f"`out` = {path} holds other files and no run; name a new or empty directory.")
    folder.trajectories.mkdir(parents=True, exist_ok=True)


def _only_ours(path: Path) -> bool:
    return all(item.name == "trajectories" or item.name.startswith(".") for item in path.iterdir())


def _begin(simulator: BlockSimulator, folder: RunFolder, communicator: Communicator) -> Manifest:
    """Return the manifest of the run, old or new, refusing a different run in the same directory."""
    settings = simulator.simulation
    attributes = _attributes(simulator)
    wanted = Manifest(
        process=attributes["process"],
        parameters=json.loads(attributes["parameters"]),
        seed=attributes["seed"],
        simulation={name: getattr(settings, name) for name in settings.__dataclass_fields__},
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


def _publish_segment(simulator: BlockSimulator, folder: RunFolder, block: int, segment: int) -> None:
    if folder.segment(block, segment).exists():
        return
    settings = simulator.simulation
    before = None
    if segment > 0:
        names = [variable.name for variable in simulator.process.variables]
        last = folder.read_segment(block, segment - 1)
        columns = [np.asarray(last[name].transpose("path", "time")[:, -1]) for name in names]
        before = torch.from_numpy(np.stack(columns, -1)).to(simulator.device)
        if before.shape[0] != len(settings.block_paths(block)):
            raise DataFileError(f"segment {folder.segment(block, segment - 1)} belongs to another run")
    states = simulator.segment(block, segment, before).numpy()
    times = settings.times[settings.segment_frames(segment)]
    paths = np.asarray(settings.block_paths(block))
    dataset = trajectory_dataset(simulator.process, states, times, paths, _attributes(simulator))
    folder.write_segment(block, segment, dataset)


def _progress(items: list[Any], communicator: Communicator) -> Any:
    return tqdm(items, desc="simulate", unit="segment", disable=None if communicator.rank == 0 else True)
