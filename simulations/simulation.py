"""The settings of a simulation, checked before anything is computed."""

import dataclasses
import itertools
import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from physcore.registry import NAMED

__all__ = ["PATHS_PER_GROUP", "Simulation"]

# Initial states are drawn in groups of at most this many paths.
PATHS_PER_GROUP = 1024
LARGEST_RUN = 2**48
SEGMENT_BYTES = 2**24


@dataclasses.dataclass(frozen=True, kw_only=True)
class Simulation:
    """How to simulate a process.

    Arguments:
        paths: Number of independent paths.
        duration: Simulated time, [time].
        dt: Time step, [time]; the duration must be a whole number of steps.
        save_every: Steps between saved frames, which begin with the initial one; the number of steps must be a
            multiple of it. With ``"final"`` the last state alone is saved.
        save_times: Times to save at instead, [time], increasing, each a whole number of steps after the start.
        start: Time of the initial state, [time].
        scheme: Registered name of the integration scheme.
        noise: Kind of the random numbers: standard normals, or variables of three values with the same first five
            moments, which are cheaper and keep the weak order of the schemes that allow them.
        dtype: Precision of the states, in memory and in files. The normals have 24 bits in either.
        paths_per_block: Paths in a block, the unit of work and of storage; a multiple of 1024.
        frames_per_segment: Frames in one file of a block; an interrupted run continues from the last whole file. As
            many as make some 16 MB when None.
    """

    paths: int = 10_000
    duration: float = 1.0
    dt: float = 1e-3
    save_every: int | Literal["final"] = 10
    save_times: tuple[float, ...] | None = None
    start: float = 0.0
    scheme: str = dataclasses.field(default="euler-maruyama", metadata={NAMED: "physcore.schemes"})
    noise: Literal["gaussian", "three-point"] = "gaussian"
    dtype: Literal["float32", "float64"] = "float32"
    paths_per_block: int = 8192
    frames_per_segment: int | None = None

    def __post_init__(self) -> None:
        for name in ("paths", "save_every", "paths_per_block", "frames_per_segment"):
            value = getattr(self, name)
            if (name, value) in (("save_every", "final"), ("frames_per_segment", None)):
                continue
            if isinstance(value, np.integer):
                object.__setattr__(self, name, int(value))
            elif isinstance(value, bool) or not isinstance(value, int):
                other = ' or "final"' if name == "save_every" else ""
                raise TypeError(f"`{name}` must be an integer{other}; got {value!r}.")
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
        if not isinstance(self.scheme, str):
            raise TypeError(f"`scheme` must be a registered name, such as heun; got {self.scheme!r}.")
        if self.noise not in ("gaussian", "three-point"):
            raise ValueError(f"`noise` must be gaussian or three-point; got {self.noise!r}.")
        if self.paths_per_block % PATHS_PER_GROUP:
            raise ValueError(f"`paths_per_block` must be a multiple of {PATHS_PER_GROUP}; got {self.paths_per_block}.")
        self._check_steps()

    def _check_steps(self) -> None:
        steps = self.duration / self.dt
        if steps > LARGEST_RUN:
            raise ValueError(f"`dt` = {self.dt} asks for {steps:.3g} steps; at most {LARGEST_RUN} are possible.")
        if round(steps) < 1 or abs(steps - round(steps)) > 1e-6 * max(1.0, steps):
            raise ValueError(f"`duration` = {self.duration} must be a whole number of steps `dt` = {self.dt}.")
        if self.save_times is not None:
            self._check_times(self.save_times)
        elif self.save_every != "final" and self.steps % self.save_every:
            raise ValueError(f"`save_every` = {self.save_every} must divide the {self.steps} steps of the run.")

    def _check_times(self, times: tuple[float, ...]) -> None:
        object.__setattr__(self, "save_times", tuple(float(time) for time in times))
        steps = [(time - self.start) / self.dt for time in times]
        wrong = [time for time, step in zip(times, steps, strict=True) if not _whole(step, self.steps)]
        if wrong:
            raise ValueError(
                f"`save_times` must lie between {self.start:g} and {self.start + self.duration:g}, a whole number of "
                f"steps {self.dt:g} after the start; got {wrong[0]}."
            )
        if not steps or any(round(b) <= round(a) for a, b in itertools.pairwise(steps)):
            raise ValueError(f"`save_times` must name one time or more, increasing; got {list(times)}.")

    @property
    def steps(self) -> int:
        """Number of time steps."""
        return round(self.duration / self.dt)

    @property
    def saved_steps(self) -> NDArray[np.int64]:
        """Steps at which frames are saved, increasing."""
        if self.save_times is not None:
            return np.array([round((time - self.start) / self.dt) for time in self.save_times], dtype=np.int64)
        if self.save_every == "final":
            return np.array([self.steps], dtype=np.int64)
        return np.arange(0, self.steps + 1, self.save_every, dtype=np.int64)

    @property
    def frames(self) -> int:
        """Number of saved frames."""
        if self.save_times is not None:
            return len(self.save_times)
        return 1 if self.save_every == "final" else self.steps // self.save_every + 1

    @property
    def times(self) -> NDArray[np.float64]:
        """Times of the frames, t0 + k dt in float64."""
        return self.start + self.saved_steps.astype(np.float64) * self.dt

    @property
    def blocks(self) -> int:
        """Number of blocks of paths."""
        return -(-self.paths // self.paths_per_block)

    @property
    def segments(self) -> int:
        """Number of files of each block."""
        return -(-self.frames // (self.frames_per_segment or self.frames))

    def block_paths(self, block: int) -> range:
        """Return the indices of the paths of a block."""
        first = block * self.paths_per_block
        return range(first, min(first + self.paths_per_block, self.paths))

    def segment_frames(self, segment: int) -> range:
        """Return the indices of the frames of a segment."""
        frames = self.frames_per_segment or self.frames
        return range(segment * frames, min((segment + 1) * frames, self.frames))

    def sized(self, dimension: int) -> "Simulation":
        """Return the settings with the number of frames in a file fixed for a state of some dimension."""
        if self.frames_per_segment is not None:
            return self
        size = min(self.paths, self.paths_per_block) * dimension * np.dtype(self.dtype).itemsize
        return dataclasses.replace(self, frames_per_segment=max(1, min(self.frames, SEGMENT_BYTES // size)))


def _whole(step: float, steps: int) -> bool:
    """Return whether a number of steps is whole and within the run."""
    return math.isfinite(step) and abs(step - round(step)) <= 1e-6 * max(1.0, steps) and 0 <= round(step) <= steps
