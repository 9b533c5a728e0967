"""Stepping one block of paths through time."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from physcore.errors import NumericalError
from physcore.process import Process
from physcore.streams import PATHS_PER_STREAM, STEPS_PER_CHUNK, Streams
from simulations.integrators.scheme import Scheme
from simulations.simulation import Simulation

__all__ = ["BlockSimulator"]

LARGEST_SAMPLE = 10_000
WIDE, FAR = 10.0, 1e3  # in units of the median distance from the origin


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockSimulator:
    """Simulates blocks of paths of one process.

    Arguments:
        process: The process.
        scheme: Integration scheme.
        simulation: Settings.
        seed: Seed of the run.
        device: Where the steps are computed.
    """

    process: Process
    scheme: Scheme
    simulation: Simulation
    seed: int
    device: torch.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the states."""
        return torch.float32 if self.simulation.dtype == "float32" else torch.float64

    def initial(self, block: int) -> Tensor:
        """Return the initial states of a block, shape ``(paths, component)``."""
        paths = self.simulation.block_paths(block)
        streams = Streams(self.seed, "initial")
        groups = range(paths.start // PATHS_PER_STREAM, -(-paths.stop // PATHS_PER_STREAM))
        parts = [self.process.sample_initial(PATHS_PER_STREAM, streams.generator(group)) for group in groups]
        states = torch.cat(parts)[: len(paths)]
        if states.shape != (len(paths), self.process.dimension):
            raise ValueError(
                f"{type(self.process).__name__}.sample_initial must return shape (paths, {self.process.dimension}); "
                f"got {tuple(parts[0].shape)} for {PATHS_PER_STREAM} paths."
            )
        return states.to(dtype=self.dtype, device=self.device)

    def segment(self, block: int, segment: int, before: Tensor | None) -> Tensor:
        """Compute the frames of one block over one segment.

        Arguments:
            block: Index of the block.
            segment: Index of the segment.
            before: States at the last frame of the segment before, shape ``(paths, component)``; None for the
                first segment.

        Returns:
            States at the frames, shape ``(component, frame, path)``, on the CPU.

        Raises:
            NumericalError: If a state is not finite; step, time and path are named.
        """
        frames = self.simulation.segment_frames(segment)
        paths = self.simulation.block_paths(block)
        if before is None:
            state, first_step = self.initial(block), 0
        else:
            state, first_step = before, (frames.start - 1) * self.simulation.save_every
        last_step = (frames.stop - 1) * self.simulation.save_every
        saved = torch.empty(self.process.dimension, len(frames), len(paths), dtype=self.dtype, device=self.device)
        if before is None:
            saved[:, 0] = state.T
        # Component by component in memory: a drift that takes the components apart then reads them in one sweep.
        state = good = state.T.contiguous().T
        for step, normals in self._normals(paths, first_step, last_step):
            time = torch.tensor(self.simulation.start + step * self.simulation.dt, dtype=torch.float64)
            state = self.scheme.step(self.process, state, time, self.simulation.dt, normals.T)
            frame, between = divmod(step + 1, self.simulation.save_every)
            if between == 0:
                self._require_finite(state, good, step + 1, paths.start)
                saved[:, frame - frames.start] = state.T
                good = state
        return saved.cpu()

    def _normals(self, paths: range, first_step: int, last_step: int) -> Iterator[tuple[int, Tensor]]:
        """Yield each step with its standard normals, shape ``(noise, path)``."""
        streams = Streams(self.seed, "noise")
        groups = range(paths.start // PATHS_PER_STREAM, -(-paths.stop // PATHS_PER_STREAM))
        noises = self.process.noise(torch.zeros((), dtype=torch.float64)).shape[-1]
        dtype: np.dtype[np.floating] = np.dtype(self.simulation.dtype)
        chunk = -1
        for step in range(first_step, last_step):
            if step // STEPS_PER_CHUNK != chunk:
                chunk = step // STEPS_PER_CHUNK
                parts: list[NDArray[np.floating]] = [streams.normals(group, chunk, noises, dtype) for group in groups]
                joined = np.concatenate(parts, axis=-1)[..., : len(paths)]
                normals = torch.from_numpy(np.ascontiguousarray(joined)).to(self.device)
            yield step, normals[step % STEPS_PER_CHUNK]

    def _require_finite(self, state: Tensor, good: Tensor, step: int, first_path: int) -> None:
        finite = torch.isfinite(state).all(-1)
        if finite.all():
            return
        path = int((~finite).nonzero()[0])
        time = torch.tensor(self.simulation.start + step * self.simulation.dt)
        start = good[path : path + 1]
        raise NumericalError(
            f"the simulation diverged by step {step}, time {float(time):g}, path {first_path + path}: "
            f"{int((~finite).sum())} states are not finite, "
            f"the path's last good frame is {start[0].tolist()}; {self._advice(start, good, time.to(good))}."
        )

    def _advice(self, start: Tensor, good: Tensor, time: Tensor) -> str:
        """Return what to do about a path that diverged from ``start``, given all paths at the same frame."""
        reach = good.abs().amax(-1)
        ran_away = start.abs().max() > FAR * reach.median()
        if not ran_away and not torch.isfinite(self.process.drift(start, time)).all():
            return f"{type(self.process).__name__}.drift is not finite at {start[0].tolist()}"
        # Paths that run away already say nothing about the stiffness where the others are.
        rates = self.process.jacobian(good[reach <= WIDE * reach.median()], time).abs().sum(-1).amax(-1)
        stiffness = float(torch.quantile(rates[:LARGEST_SAMPLE].double(), 0.99))
        return f"try dt <= {0.2 / stiffness:.1g}" if stiffness * self.simulation.dt > 0.5 else "check the drift"
