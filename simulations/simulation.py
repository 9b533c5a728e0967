"""The settings of a simulation, checked before anything is computed."""

import dataclasses
import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Simulation"]

# Paths are drawn in groups of this many; physcore.streams holds the same number and a test compares the two.
PATHS_PER_STREAM = 1024
LARGEST_RUN = 2**48


@dataclasses.dataclass(frozen=True, kw_only=True)
class Simulation:
    """How to simulate a process.

    Arguments:
        paths: Number of independent paths.
        duration: Simulated time, [time].
        dt: Time step, [time]; the duration must be a whole number of steps.
        save_every: Steps between saved frames; the number of steps must be a multiple of it.
        start: Time of the initial state, [time].
        scheme: Registered name of the integration scheme.
        dtype: Precision of the states, in memory and in files.
        paths_per_block: Paths in a block, the unit of work and of storage; a multiple of 1024.
        frames_per_segment: Frames in one file of a block; an interrupted run continues from the last whole file.
    """

    paths: int = 10_000
    duration: float = 1.0
    dt: float = 1e-3
    save_every: int = 10
    start: float = 0.0
    scheme: str = "euler-maruyama"
    dtype: Literal["float32", "float64"] = "float32"
    paths_per_block: int = 8192
    frames_per_segment: int = 50

    def __post_init__(self) -> None:
        for name in ("paths", "save_every", "paths_per_block", "frames_per_segment"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"`{name}` must be an integer; got {value!r}.")
            if not 1 <= value <= LARGEST_RUN:
                raise ValueError(f"`{name}` must be between 1 and {LARGEST_RUN}; got {value}.")
        for name in ("duration", "dt"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"`{name}` must be positive and finite; got {value}.")
        if not math.isfinite(self.start):
            raise ValueError(f"`start` must be finite; got {self.start}.")
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"`dtype` must be float32 or float64; got {self.dtype!r}.")
        if self.paths_per_block % PATHS_PER_STREAM:
            raise ValueError(f"`paths_per_block` must be a multiple of {PATHS_PER_STREAM}; got {self.paths_per_block}.")
        self._check_steps()

    def _check_steps(self) -> None:
        steps = self.duration / self.dt
        if steps > LARGEST_RUN:
            raise ValueError(f"`dt` = {self.dt} asks for {steps:.3g} steps; at most {LARGEST_RUN} are possible.")
        if round(steps) < 1 or abs(steps - round(steps)) > 1e-6 * max(1.0, steps):
            raise ValueError(f"`duration` = {self.duration} must be a whole number of steps `dt` = {self.dt}.")
        if self.steps % self.save_every:
            raise ValueError(f"`save_every` = {self.save_every} must divide the {self.steps} steps of the run.")

    @property
    def steps(self) -> int:
        """Number of time steps."""
        return round(self.duration / self.dt)

    @property
    def frames(self) -> int:
        """Number of saved frames, the initial one included."""
        return self.steps // self.save_every + 1

    @property
    def times(self) -> NDArray[np.float64]:
        """Times of the frames, t0 + k dt in float64."""
        return self.start + np.arange(self.frames, dtype=np.float64) * self.save_every * self.dt

    @property
    def blocks(self) -> int:
        """Number of blocks of paths."""
        return -(-self.paths // self.paths_per_block)

    @property
    def segments(self) -> int:
        """Number of files of each block."""
        return -(-self.frames // self.frames_per_segment)

    def block_paths(self, block: int) -> range:
        """Return the indices of the paths of a block."""
        first = block * self.paths_per_block
        return range(first, min(first + self.paths_per_block, self.paths))

    def segment_frames(self, segment: int) -> range:
        """Return the indices of the frames of a segment."""
        first = segment * self.frames_per_segment
        return range(first, min(first + self.frames_per_segment, self.frames))
