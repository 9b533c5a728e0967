"""Fresh trajectories for a fit: simulated while it learns, never stored.

A round's random numbers are a function of (seed, stage, round, path, step): the same for any number of ranks, and when
a fit that was interrupted asks for the round again.
"""

import dataclasses
from typing import Literal

import torch
import xarray as xr

from physcore.communicator import Communicator
from physcore.contract import check_contract
from physcore.process import Process
from physcore.registry import build
from physcore.score.source import FreshTrajectories
from physcore.stepping import Threads
from physcore.streams import Streams
from simulations.block import BlockSimulator, group_size
from simulations.in_memory import block_in_memory, simulated_in_memory
from simulations.simulation import Simulation

__all__ = ["FreshSimulation"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FreshSimulation(FreshTrajectories):
    """How to simulate fresh trajectories for each round of a fit; given to ``fit`` in place of trajectories.

    Arguments:
        paths: Number of independent paths in a round; a round is held in memory.
        duration: Simulated time, [time].
        dt: Time step, [time].
        save_every: Steps between frames, which begin with the initial one.
        save_times: Times of the frames instead, [time], each a whole number of steps after the start.
        start: Time of the initial state, [time].
        scheme: Registered name of the integration scheme.
        noise: Standard normals, or three-point variables where the weak order is all that is wanted.
        dtype: Precision of the states.

    Raises:
        ValueError: If a setting is out of range.
    """

    paths: int = 10_000
    duration: float = 1.0
    dt: float = 1e-3
    save_every: int = 10
    save_times: tuple[float, ...] | None = None
    start: float = 0.0
    scheme: str = "euler-maruyama"
    noise: Literal["gaussian", "three-point"] = "gaussian"
    dtype: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        frames = self._simulation(1).frames
        if frames < 2:
            raise ValueError(f"`save_every` and `save_times` must make two frames or more; they make {frames}.")

    def check(self, process: Process) -> None:
        """Refuse a scheme that is unknown or not made for the process; see ``FreshTrajectories.check``."""
        check_contract(process, self.dtype, self.start, group_size)
        build("physcore.schemes", self.scheme, {}).check(process, self.dt)

    def round(
        self, process: Process, index: int, *, seed: int, device: torch.device, communicator: Communicator
    ) -> xr.Dataset:
        """Simulate a round, its blocks of paths shared between the ranks; see ``FreshTrajectories.round``."""
        with Threads() as threads:
            simulator = BlockSimulator(
                process=process,
                scheme=build("physcore.schemes", self.scheme, {}),
                simulation=self._simulation(communicator.size),
                seed=Streams(seed, f"fit/round/{index}").key,
                device=device,
                threads=threads,
            )
            return simulated_in_memory(simulator, communicator, shown=False)

    def _simulation(self, ranks: int) -> Simulation:
        settings = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return Simulation(**settings, paths_per_block=block_in_memory(self.paths, ranks))
