"""Blocks of paths: read once, reduced to float64 sums by any number of works, and left.

Blocks are the same for any number of ranks, which share them; their sums are gathered in the order of the blocks. A
block with more numbers than fit is read in pieces, whose sums are added in the order of the paths.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from analysis.comparison import nearest_saved
from physcore.communicator import Communicator, SerialCommunicator
from physcore.errors import NumericalError
from physcore.process import Process
from physcore.trajectory import frames, validated_trajectories

__all__ = ["Block", "Frame", "Sums", "Work", "block_edges", "block_sums", "saved_times"]

PATHS_PER_BLOCK = 1024
NUMBERS_AT_ONCE = 4_000_000  # of the states of a block; with some scores at them a few hundred MB

Sums = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Frame:
    """The states of some paths at one time.

    Arguments:
        index: Index among the wanted times.
        time: The time, shape ``()``, float64.
        states: States, shape ``(path, component)``, float64.
        scores: What score functions gave at the states, kept for the next who asks.
    """

    index: int
    time: Tensor
    states: Tensor
    scores: dict[int, tuple[Tensor, Tensor]] = dataclasses.field(default_factory=dict, repr=False, compare=False)


@dataclasses.dataclass(frozen=True)
class Block:
    """The frames of some paths, in the order of time.

    Arguments:
        paths: Indices of the paths in the trajectories.
        frames: Their frames.
    """

    paths: range
    frames: tuple[Frame, ...]

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)

    def at(self, times: NDArray[np.float64]) -> "Block":
        """Return the frames at some of the times, counted anew; the scores known of them are shared."""
        by_time = {float(frame.time): frame for frame in self.frames}
        chosen = (dataclasses.replace(by_time[float(time)], index=index) for index, time in enumerate(times))
        return Block(self.paths, tuple(chosen))


Work = Callable[[Block], Sums]


def saved_times(
    process: Process,
    trajectories: xr.Dataset,
    times: Sequence[float] | None,
    within: Callable[[float], bool] | None = None,
) -> NDArray[np.float64]:
    """Return the saved times that are wanted, increasing.

    Arguments:
        process: The process whose trajectories they are.
        trajectories: Dataset with dimensions ``path`` and ``time``.
        times: Times asked for; when None all saved ones that lie ``within``.
        within: Whether an estimate can be made at a time; at all when None.

    Raises:
        ValueError: If a time was not saved or does not lie within, or none is left.
    """
    saved = np.asarray(validated_trajectories(process, trajectories)["time"].values, dtype=np.float64)
    known = within or (lambda _: True)
    if times is None:
        chosen = [float(time) for time in saved if known(float(time))]
    else:
        chosen = sorted({nearest_saved(saved, time) for time in times})
        outside = [time for time in chosen if not known(time)]
        if outside:
            raise ValueError(f"`times` holds {outside[0]:g}, for which the score was not trained.")
    if not chosen:
        raise ValueError("there is no saved time at which the score is known; give `times`.")
    return np.array(chosen)


def block_edges(paths: int, blocks: int | None = None) -> NDArray[np.int64]:
    """Return the first path of each block and the number of paths, shape ``(block + 1,)``.

    Arguments:
        paths: Number of paths.
        blocks: Number of blocks; as many as leave some thousand paths to each when None.

    Raises:
        ValueError: If there is one path alone, or there are more blocks than paths.
    """
    if paths < 2:
        raise ValueError(f"a standard error needs 2 `path`s at least; the trajectories hold {paths}.")
    count = -(-paths // PATHS_PER_BLOCK) if blocks is None else blocks
    if not 1 <= count <= paths:
        raise ValueError(f"`blocks` must be between 1 and the {paths} paths; got {count}.")
    return np.linspace(0, paths, count + 1).astype(np.int64)


def block_sums(
    process: Process,
    trajectories: xr.Dataset,
    works: Sequence[tuple[NDArray[np.float64], Work]],
    *,
    blocks: int | None = None,
    communicator: Communicator | None = None,
    progress: str | None = None,
) -> list[Sums]:
    """Return what some works make of each block of paths.

    Arguments:
        process: The process.
        trajectories: Dataset with dimensions ``path`` and ``time``.
        works: Of each the saved times of the frames that it is given, increasing, and the work, from the frames of a
            block to sums of one shape.
        blocks: Number of blocks; as many as leave some thousand paths to each when None.
        communicator: Ranks that share the blocks; serial when None. Every rank returns the same.
        progress: What to call the progress that is shown; none is shown when None.

    Returns:
        The sums of each work, shape ``(block, ...)``.

    Raises:
        ValueError: If there is one path alone.
        NumericalError: If a state or a sum is not finite.
    """
    communicator = communicator or SerialCommunicator()
    chosen = validated_trajectories(process, trajectories)
    edges = block_edges(chosen.sizes["path"], blocks)
    times = np.unique(np.concatenate([times for times, _ in works]))
    shown = progress is not None and communicator.rank == 0
    mine = len(list(communicator.share(len(edges) - 1)))

    def summed(block: int) -> list[Sums]:
        pieces = [
            [work(piece.at(wanted)) for wanted, work in works]
            for piece in _pieces(process, chosen, times, range(edges[block], edges[block + 1]))
        ]
        sums = [np.sum(parts, axis=0) for parts in zip(*pieces, strict=True)]
        if not all(np.isfinite(part).all() for part in sums):
            raise NumericalError(f"a sum over the block of paths from {edges[block]} on is not finite.")
        bar.update()
        return sums

    with tqdm(total=mine, desc=progress, disable=None if shown else True) as bar:
        together = communicator.map(summed, len(edges) - 1)
    return [np.stack(sums) for sums in zip(*together, strict=True)]


def _pieces(process: Process, chosen: xr.Dataset, times: NDArray[np.float64], paths: range) -> Iterator[Block]:
    """Yield the frames of some paths, of so many paths at once as fit."""
    most = max(2, NUMBERS_AT_ONCE // (len(times) * process.dimension))
    count = max(1, -(-len(paths) // most))
    edges = np.linspace(paths.start, paths.stop, count + 1).astype(int)
    for first, last in itertools.pairwise(edges):
        part = chosen.isel(path=slice(first, last)).sel(time=times, method="nearest")
        states = frames(process, part, torch.float64)
        moments = torch.from_numpy(times)
        yield Block(range(first, last), tuple(Frame(i, moments[i], states[i]) for i in range(len(times))))
