"""References that are learned from simulated states."""

import abc
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from analysis.comparison import nearest_saved
from analysis.references.reference import Reference, scalar_time
from physcore.communicator import Communicator, SerialCommunicator
from physcore.process import Process
from physcore.trajectory import frames, validated_trajectories

__all__ = ["SampledReference"]

MOST_NUMBERS = 200_000_000  # kept for all times together


class Learned(Protocol):
    """What was learned of the law at one time."""

    @property
    def numbers(self) -> int:
        """How many numbers it holds."""

    def score(self, points: Tensor) -> Tensor:
        """Return the score, shape ``(point, component)``, float64."""

    def log_density(self, points: Tensor) -> Tensor:
        """Return the log density, shape ``(point,)``, float64."""


class SampledReference(Reference):
    """A score estimated from the states of simulated paths.

    Subclasses learn the law at one time; what they learned is kept. Compared with a learned score on the same paths
    they would know the answer, since each state counts among its own neighbours: give them paths of their own.

    Arguments:
        process: The process.
        trajectories: Simulated paths, dimensions ``path`` and ``time``; without them nothing can be estimated.
        paths: How many of the paths to use, the first; all when None.

    Raises:
        ValueError: If ``paths`` is below 2 or there are fewer.
        DataFileError: If the trajectories are not those of the process.
    """

    def __init__(self, process: Process, trajectories: xr.Dataset | None = None, *, paths: int | None = None) -> None:
        if paths is not None and paths < 2:
            raise ValueError(f"`paths` must be at least 2; got {paths}.")
        self.process = process
        self.paths = paths
        self._pool: xr.Dataset | None = None
        self._known: dict[float, Learned] = {}
        if trajectories is not None:
            pool = validated_trajectories(process, trajectories)
            if pool.sizes["path"] < (paths or 2):
                raise ValueError(f"`trajectories` must hold {paths or 2} paths or more; got {pool.sizes['path']}.")
            self._pool = pool.isel(path=slice(paths))

    def __repr__(self) -> str:
        pool = "" if self._pool is None else f", <{self._pool.sizes['path']} paths>"
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"{type(self).__name__}({self.process!r}{pool}{options})"

    @property
    def options(self) -> dict[str, object]:
        """The options by name, as the constructor takes them."""
        return {"paths": self.paths}

    @property
    def pool(self) -> xr.Dataset:
        """The paths that are learned from.

        Raises:
            ValueError: If none were given.
        """
        if self._pool is None:
            raise ValueError(
                f"{type(self).__name__} learns from simulated paths and was given none: "
                f"use {type(self).__name__}(process, trajectories)."
            )
        return self._pool

    @property
    def times(self) -> NDArray[np.float64]:
        """Times of the frames of the pool."""
        return np.asarray(self.pool["time"].values, dtype=np.float64)

    def states(self, time: float) -> Tensor:
        """Return the states of the pool at a saved time, shape ``(path, component)``, float64.

        Raises:
            ValueError: If the time was not saved; the nearest frame is named.
        """
        moment = nearest_saved(self.times, time)
        return frames(self.process, self.pool.sel(time=[moment]), torch.float64)[0]

    def prepare(self, times: Sequence[float], communicator: Communicator | None = None) -> None:
        """Learn the law at each of the times, as long as what was learned can be kept.

        Arguments:
            times: Times for which there are samples.
            communicator: Ranks that share the times; serial when None.
        """
        ranks = communicator or SerialCommunicator()
        # Rank 0 says what, as a rank may have been asked for more than others before.
        wanted = ranks.broadcast([float(time) for time in times if float(time) not in self._known])
        # Round by round: no rank learns what it cannot keep, and little is on its way at once.
        for first in range(0, len(wanted), ranks.size):
            some = wanted[first : first + ranks.size]
            laws = ranks.map(lambda which, some=some: self.learn(some[which]), len(some))  # type: ignore[misc]
            kept = [self._keep(time, law) for time, law in zip(some, laws, strict=True)]
            if not ranks.broadcast(all(kept)):
                return

    def supporting_times(self, times: Sequence[float]) -> list[float]:
        """Return times at which there are samples, to the last of the times; see ``Reference.supporting_times``."""
        return [float(time) for time in self.times if time <= times[-1] * (1 + 1e-9)]

    @abc.abstractmethod
    def learn(self, time: float) -> Learned:
        """Return what the samples tell about the law at a time."""

    def at(self, time: Tensor | float) -> Learned:
        """Return what was learned about the law at a time, learning it first where needed."""
        moment = scalar_time(time)
        if moment in self._known:
            return self._known[moment]
        law = self.learn(moment)
        self._keep(moment, law)
        return law

    def _keep(self, time: float, law: Learned) -> bool:
        """Keep what was learned; return whether there was room for it."""
        # What is full stays as it is: were the oldest dropped, times taken in turns would all be learned again.
        others = sum(known.numbers for moment, known in self._known.items() if moment != time)
        room = others + law.numbers <= MOST_NUMBERS
        if room:
            self._known[time] = law
        return room

    def score(self, state: Tensor, time: Tensor | float) -> Tensor:
        """Return the estimated score at one time.

        Arguments:
            state: States, shape ``(..., component)``.
            time: One time, shape ``()``.

        Returns:
            Shape, dtype and device of ``state``.

        Raises:
            ValueError: If there are no samples for this time.
        """
        score = self.at(time).score(state.reshape(-1, state.shape[-1]))
        return score.reshape(state.shape).to(dtype=state.dtype, device=state.device)

    def log_density(self, state: Tensor, time: Tensor | float) -> Tensor:
        """Return the estimated log density at one time; see ``score``.

        Arguments:
            state: States, shape ``(..., component)``.
            time: One time, shape ``()``.

        Returns:
            Shape ``(...)``, dtype and device of ``state``.
        """
        logarithm = self.at(time).log_density(state.reshape(-1, state.shape[-1]))
        return logarithm.reshape(state.shape[:-1]).to(dtype=state.dtype, device=state.device)
