r"""Means over paths and their standard errors, frame by frame and block by block.

.. math:: \bar a = \frac1N \sum_{n=1}^N a_n, \qquad
          \sigma_{\bar a} = \sqrt{\frac{1}{N (N - 1)} \sum_{n=1}^N \left(a_n - \bar a\right)^2}

Paths are independent and frames of a path are not, so a path is the unit of error. A frame of a block is read, reduced
to float64 sums and left. The sums are joined in the order of the blocks: the number of ranks does not matter.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from analysis.comparison import nearest_saved
from physcore.communicator import Communicator, SerialCommunicator
from physcore.errors import NumericalError
from physcore.process import Process
from physcore.trajectory import frames, validated_trajectories

__all__ = ["Frame", "PathMeans", "Sums", "Work", "reduced", "saved_times", "sums_of", "sums_of_products"]

PATHS_PER_BLOCK = 1024

Sums = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Frame:
    """The states of some paths at one time.

    Arguments:
        index: Index among the wanted times.
        time: The time, shape ``()``, float64.
        states: States, shape ``(path, component)``, float64.
    """

    index: int
    time: Tensor
    states: Tensor


Work = Callable[[Iterator[Frame]], Sums]


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


def reduced(
    process: Process,
    trajectories: xr.Dataset,
    times: NDArray[np.float64],
    work: Work,
    communicator: Communicator | None,
) -> Sums:
    """Return the sum over blocks of paths of what some work makes of the frames of a block.

    Arguments:
        process: The process.
        trajectories: Dataset with dimensions ``path`` and ``time``.
        times: Saved times of the frames, increasing.
        work: From the frames of a block, in the order of time, to sums of one shape.
        communicator: Ranks that share the blocks; serial when None. Every rank returns the same.

    Raises:
        ValueError: If there is one path alone.
        NumericalError: If a state or a sum is not finite.
    """
    communicator = communicator or SerialCommunicator()
    chosen = validated_trajectories(process, trajectories)
    paths = chosen.sizes["path"]
    if paths < 2:
        raise ValueError("a standard error needs 2 `path`s at least; the trajectories hold 1.")
    starts = range(0, paths, PATHS_PER_BLOCK)
    mine = {}
    for block in communicator.share(len(starts)):
        part = chosen.isel(path=slice(starts[block], starts[block] + PATHS_PER_BLOCK))
        mine[block] = work(_frames(process, part, times))
        if not np.isfinite(mine[block]).all():
            raise NumericalError(f"a sum over the block of paths from {starts[block]} on is not finite.")
    together = {block: sums for part in communicator.gather(mine) for block, sums in part.items()}
    total: Sums = np.stack([together[block] for block in range(len(starts))]).sum(0)
    return total


def _frames(process: Process, part: xr.Dataset, times: NDArray[np.float64]) -> Iterator[Frame]:
    for index, time in enumerate(times):
        states = frames(process, part.sel(time=[time], method="nearest"), torch.float64)[0]
        yield Frame(index, torch.tensor(time, dtype=torch.float64), states)


@dataclasses.dataclass(frozen=True)
class PathMeans:
    """Means over paths.

    Arguments:
        value: Means, any shape; NaN where there is no path.
        standard_error: Their standard errors, the same shape; NaN where there are not two paths.
    """

    value: NDArray[np.float64]
    standard_error: NDArray[np.float64]

    @classmethod
    def of(cls, sums: Sums) -> "PathMeans":
        """Return the means behind sums ``(count, sum, sum of squares)`` on the first axis."""
        count, first, second = sums
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = first / count
            variance = np.maximum(second / count - mean**2, 0.0)
            error = np.where(count > 1, np.sqrt(variance / (count - 1)), np.nan)
        return cls(np.where(count > 0, mean, np.nan), error)


def sums_of(values: Tensor, known: Tensor) -> Sums:
    """Return count, sum and sum of squares over paths, shape ``(3, quantity)``.

    Arguments:
        values: Values of each path, shape ``(path, quantity)``.
        known: Which paths count, shape ``(path,)``.
    """
    values = torch.where(known.unsqueeze(-1), values.double(), 0.0)
    count = known.sum().double().expand(values.shape[1])
    return torch.stack([count, values.sum(0), values.square().sum(0)]).cpu().numpy()


def sums_of_products(left: Tensor, right: Tensor, known: Tensor) -> Sums:
    """Return the same of the products of two sets of values, shape ``(3, left, right)``, without making them all.

    Arguments:
        left: Values of each path, shape ``(path, left)``.
        right: Values of each path, shape ``(path, right)``.
        known: Which paths count, shape ``(path,)``.
    """
    left, right = (torch.where(known.unsqueeze(-1), values.double(), 0.0) for values in (left, right))
    first, second = left.T @ right, left.square().T @ right.square()
    return torch.stack([known.sum().double().expand_as(first), first, second]).cpu().numpy()
