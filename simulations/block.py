"""Blocks of paths: their initial states, their frames, and what to say when a path diverges."""

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from physcore.errors import NumericalError
from physcore.process import Process
from physcore.stepping import Stepper, Stepping, Threads, stepper_for
from physcore.streams import Streams
from simulations.frame_memory import FrameMemory
from simulations.integrators.scheme import Scheme
from simulations.simulation import PATHS_PER_GROUP, Simulation

__all__ = ["BlockSimulator", "copied", "group_size"]

LARGEST_CALL = 1_000_000_000  # components times steps in one call of a kernel, some tenths of a second
LARGEST_GROUP = 65_536  # numbers in a group of initial states, which is small where a state is large
LARGEST_SAMPLE = 40_000  # entries of Jacobians
MOST_SHOWN = 8
WIDE, FAR = 10.0, 1e3  # in units of the median distance from the origin


def group_size(components: int) -> int:
    """Return the number of paths whose initial states are drawn together: a power of two, so that blocks hold groups.

    Arguments:
        components: Number of components of the state.
    """
    most = min(PATHS_PER_GROUP, max(1, LARGEST_GROUP // components))
    return 1 << (most.bit_length() - 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockSimulator:
    """Simulates blocks of paths of one process.

    Arguments:
        process: The process.
        scheme: Integration scheme.
        simulation: Settings.
        seed: Seed of the run.
        device: Where the steps are computed.
        threads: What computes them on a CPU.

    Raises:
        ValueError: If the scheme is not made for the process or the kind of noise.
    """

    process: Process
    scheme: Scheme
    simulation: Simulation
    seed: int
    device: torch.device
    threads: Threads

    def __post_init__(self) -> None:
        self.scheme.check(self.process, self.simulation.dt)
        if self.simulation.noise == "three-point" and not self.scheme.three_point:
            raise ValueError(
                f"`noise` = three-point would cost {type(self.scheme).__name__} its weak order; use gaussian."
            )

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the states."""
        return torch.float32 if self.simulation.dtype == "float32" else torch.float64

    @functools.cached_property
    def stepper(self) -> Stepper:
        """What takes the blocks through time."""
        dt = self.simulation.dt
        stepper = stepper_for(
            Stepping(
                step=lambda state, time, normals: self.scheme.step(self.process, state, time, dt, normals),
                components=self.process.dimension,
                normals=self.scheme.normals(self.process),
                dt=dt,
                start=self.simulation.start,
                dtype=self.dtype,
                three_point=self.simulation.noise == "three-point",
                streams=Streams(self.seed, "noise"),
                device=self.device,
                threads=self.threads,
            ),
            self._initial_group(0).T.to(self.device),
        )
        logging.getLogger("physcore").info("steps of %s: %s", type(self.process).__name__, stepper.way)
        return stepper

    def prepare(self) -> None:
        """Trace and compile the step, which else is done when the first one is taken."""
        self.stepper  # noqa: B018

    def _initial_group(self, group: int) -> Tensor:
        size = group_size(self.process.dimension)
        return self.process.sample_initial(size, Streams(self.seed, "initial").generator(group)).to(dtype=self.dtype)

    def initial(self, block: int) -> Tensor:
        """Return the initial states of a block, shape ``(component, path)``."""
        paths, size = self.simulation.block_paths(block), group_size(self.process.dimension)
        states = np.empty((self.process.dimension, len(paths)), self.simulation.dtype)
        # Numpy gathers them: the threads that torch wakes for it would still be looking for work while steps are taken.
        for first in range(0, len(paths), size):
            group = self._initial_group((paths.start + first) // size).numpy()
            states[:, first : first + size] = group[: len(paths) - first].T
        return torch.from_numpy(states).to(self.device)

    def shape(self, block: int, segment: int) -> tuple[int, int, int]:
        """Return the numbers of components, frames and paths of one block over one segment."""
        frames, paths = self.simulation.segment_frames(segment), self.simulation.block_paths(block)
        return self.process.dimension, len(frames), len(paths)

    def begin(self, block: int, segment: int, start: Tensor, frames: Tensor | None = None) -> Callable[[], Tensor]:
        """Begin to compute the frames of one block over one segment.

        Arguments:
            block: Index of the block.
            segment: Index of the segment.
            start: States at the last frame of the segment before, the initial ones for the first segment, shape
                ``(component, path)``.
            frames: Where to store them, on the CPU, shape ``(component, frame, path)``; made when None.

        Returns:
            What waits for the states at the frames, shape ``(component, frame, path)``, on the CPU; it raises a
            ``NumericalError`` if a state is not finite, which names step, time and path.
        """
        indices, paths = self.simulation.segment_frames(segment), self.simulation.block_paths(block)
        saved = self.simulation.saved_steps
        first_step = 0 if segment == 0 else int(saved[indices.start - 1])
        start = start.to(self.device)
        shape = self.shape(block, segment)
        if frames is None:
            frames = FrameMemory(self.dtype).lend(shape)
        computed = frames if self.device.type == "cpu" else start.new_empty(shape)
        advancing = self._advance(start, computed, saved[indices.start : indices.stop], paths.start, first_step)
        next(advancing)

        def wait() -> Tensor:
            for _ in advancing:
                pass
            return frames if frames is computed else frames.copy_(computed)

        return wait

    def _advance(
        self, start: Tensor, frames: Tensor, steps: NDArray[np.int64], first_path: int, first_step: int
    ) -> Iterator[None]:
        """Fill frames in calls that are short enough for a signal to be heard in between; pause while they last."""
        most = max(1, LARGEST_CALL // max(1, start.numel()))
        state, at, done = start, first_step, 0
        while done < len(steps):
            reached = int(np.searchsorted(steps, at + most, side="right"))
            if reached > done:
                part, saved = frames[:, done:reached], steps[done:reached]
            else:
                part, saved = frames.new_empty(len(start), 1, start.shape[1]), np.array([at + most])
            failures = self.stepper.begin(state, part, saved, first_path, at)
            yield
            if failures():
                self._report(state, part, saved, at, first_path)
            state, at, done = copied(part[:, -1]), int(saved[-1]), reached

    def _report(self, start: Tensor, frames: Tensor, steps: NDArray[np.int64], first: int, path: int) -> None:
        """Raise the error that says where a path diverged and what to do."""
        finite = torch.isfinite(frames).all(0)
        frame = int((~finite.all(-1)).nonzero()[0])
        wrong = int((~finite[frame]).nonzero()[0])
        good = (start if frame == 0 else frames[:, frame - 1]).T
        step = int(steps[frame])
        time = torch.tensor(self.simulation.start + step * self.simulation.dt)
        since = first if frame == 0 else int(steps[frame - 1])
        last = good[wrong : wrong + 1]
        if since == step == 0:
            raise NumericalError(
                f"{type(self.process).__name__}.sample_initial gave a state that is not finite to path {path + wrong}: "
                f"{_shown(last[0])}."
            )
        raise NumericalError(
            f"the simulation diverged between step {since} and step {step}, time {float(time):g}, path {path + wrong}: "
            f"{int((~finite[frame]).sum())} states are not finite in its block, "
            f"the path's last good frame is {_shown(last[0])}; {self._advice(last, good, time.to(good))}."
        )

    def _advice(self, start: Tensor, good: Tensor, time: Tensor) -> str:
        """Return what to do about a path that diverged from ``start``, given all paths at the same frame."""
        reach = good.abs().amax(-1)
        ran_away = start.abs().max() > FAR * reach.median()
        if not ran_away and not torch.isfinite(self.process.drift(start, time)).all():
            name = type(self.process).__name__
            return f"{name}.drift is not finite at {_shown(start[0])}; try a smaller `dt` if paths do not belong there"
        # Paths that run away already say nothing about the stiffness where the others are.
        near = good[reach <= WIDE * reach.median()][: max(1, LARGEST_SAMPLE // self.process.dimension**2)]
        rates = self.process.jacobian(near, time).abs().sum(-1).amax(-1)
        stiffness = float(torch.quantile(rates.double(), 0.99))
        return f"try dt <= {0.2 / stiffness:.1g}" if stiffness * self.simulation.dt > 0.5 else "check the drift"


def copied(states: Tensor) -> Tensor:
    """Return a contiguous copy; torch would wake threads for it that go on looking for work while steps are taken."""
    if states.device.type == "cpu":
        return torch.from_numpy(np.array(states.numpy(), order="C"))
    return states.contiguous()


def _shown(state: Tensor) -> str:
    text = ", ".join(f"{float(value):.6g}" for value in state[:MOST_SHOWN])
    return f"[{text}, ...]" if len(state) > MOST_SHOWN else f"[{text}]"
