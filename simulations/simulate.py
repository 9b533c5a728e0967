"""The verb ``simulate``: from a process to its trajectories, in memory or in a run directory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
import xarray as xr

from physcore.communicator import Communicator, SerialCommunicator
from physcore.contract import check_contract
from physcore.process import Process
from physcore.registry import build
from physcore.stepping import Threads
from physcore.stopping import NEVER, StopRequest
from physcore.storage.run import RunFolder
from physcore.streams import random_seed, validated_seed
from simulations.block import BlockSimulator, group_size
from simulations.in_memory import block_in_memory, simulated_in_memory
from simulations.recording import recorded
from simulations.simulation import Simulation

__all__ = ["simulate"]


def simulate(
    process: Process,
    *,
    paths: int,
    duration: float,
    dt: float,
    save_every: int | Literal["final"] = 1,
    save_times: Sequence[float] | None = None,
    start: float = 0.0,
    scheme: str = "euler-maruyama",
    noise: Literal["gaussian", "three-point"] = "gaussian",
    dtype: Literal["float32", "float64"] = "float32",
    paths_per_block: int | None = None,
    frames_per_segment: int | None = None,
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
        save_every: Steps between saved frames, the initial one included; ``"final"`` saves the last state alone.
        save_times: Times to save at instead, [time], each a whole number of steps after the start.
        start: Time of the initial state, [time].
        scheme: Registered name of the integration scheme.
        noise: Standard normals, or three-point variables where the weak order is all that is wanted.
        dtype: Precision of the states.
        paths_per_block: Paths in a block, the unit of work, a multiple of 1024; when None 8192 for a run directory and
            as many as suit in memory.
        frames_per_segment: Frames in one file of a block, as many as make some 16 MB when None.
        seed: Seed, 0 <= seed < 2^64; drawn and stored when None.
        out: Run directory to write; trajectories stay in memory when None. A directory that holds the same run,
            finished or not, is continued; nothing is computed twice.
        device: Where the steps are computed.
        communicator: Ranks that share the blocks; serial when None. Every rank returns the same Dataset.
        stop: Asked before each segment.

    Returns:
        Trajectories with dimensions ``path`` and ``time``; lazily read when ``out`` is given.

    Raises:
        ValueError: If a setting is out of range, ``out`` holds a different run, or the process does not keep its
            contract; likewise ``TypeError``.
        NumericalError: If a path diverges; step, time and path are named.
        Stopped: If a stop was requested; what is published stays, and the next call continues.
    """
    communicator = communicator or SerialCommunicator()
    if paths_per_block is None:
        paths_per_block = Simulation.paths_per_block if out is not None else block_in_memory(paths, communicator.size)
    settings = Simulation(
        paths=paths,
        duration=duration,
        dt=dt,
        save_every=save_every,
        start=start,
        save_times=None if save_times is None else tuple(save_times),
        scheme=scheme,
        noise=noise,
        dtype=dtype,
        paths_per_block=paths_per_block,
        frames_per_segment=frames_per_segment,
    )
    check_contract(process, settings.dtype, settings.start, group_size)
    settings = settings.sized(process.dimension)
    seed = validated_seed(communicator.broadcast(random_seed() if seed is None else seed))
    with Threads() as threads:
        simulator = BlockSimulator(
            process=process,
            scheme=build("physcore.schemes", scheme, {}),
            simulation=settings,
            seed=seed,
            device=torch.device(device),
            threads=threads,
        )
        if out is None:
            return simulated_in_memory(simulator, communicator, shown=True)
        return recorded(simulator, RunFolder(Path(out)), communicator, stop)
