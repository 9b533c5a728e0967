"""Where the states that a fit learns from come from: trajectories at hand, or fresh ones, simulated while learning."""

import abc
from typing import ClassVar

import torch
import xarray as xr

from physcore.communicator import Communicator
from physcore.process import Process
from physcore.score.batches import TrajectoryBatches
from physcore.score.training import Training

__all__ = ["Fresh", "FreshTrajectories", "Source", "Stored"]


class FreshTrajectories(abc.ABC):
    """Settings of trajectories that are simulated anew for each round of a fit, and not stored.

    Subclasses write ``round``, and are frozen dataclasses whose ``repr`` tells one fit from another.
    """

    group: ClassVar[str] = "physcore.sources"

    def check(self, process: Process) -> None:
        """Refuse a process that these trajectories cannot be of, before anything is simulated.

        Arguments:
            process: The process.

        Raises:
            ValueError: If they cannot; the reason is given.
        """

    @abc.abstractmethod
    def round(
        self, process: Process, index: int, *, seed: int, device: torch.device, communicator: Communicator
    ) -> xr.Dataset:
        """Return the trajectories of a round, a function of process, seed and index alone.

        Arguments:
            process: The process.
            index: Index of the round, 0 <= index.
            seed: Seed of the fit.
            device: Where to compute.
            communicator: Ranks that may share the work; all ask for the same round and get the same trajectories.

        Returns:
            Trajectories with dimensions ``path`` and ``time``; the times are the same in all rounds.
        """


class Source(abc.ABC):
    """Where the states of a fit come from.

    Attributes:
        held_out: States that are never trained on, under ``held_out_paths``.
        description: What tells it from another source.
    """

    held_out: TrajectoryBatches
    description: str

    @abc.abstractmethod
    def round(self, index: int) -> TrajectoryBatches:
        """Return the states to train on in a round, under ``training_paths``."""


class Stored(Source):
    """Trajectories at hand, some paths held out; all rounds are the same.

    Arguments:
        batches: The trajectories.
    """

    description = "trajectories"

    def __init__(self, batches: TrajectoryBatches) -> None:
        self.held_out = batches

    def round(self, index: int) -> TrajectoryBatches:
        """Return the trajectories."""
        return self.held_out


class Fresh(Source):
    """Fresh trajectories for each round, those of the first one held out.

    Arguments:
        process: The process.
        trajectories: What simulates them.
        training: Settings of the batches.
        seed: Seed of the fit.
        device: Where they are simulated, and the states held.
        communicator: Ranks that share the work.
    """

    def __init__(
        self,
        process: Process,
        trajectories: FreshTrajectories,
        training: Training,
        *,
        seed: int,
        device: torch.device,
        communicator: Communicator,
    ) -> None:
        self._process, self._trajectories, self._training = process, trajectories, training
        self._seed, self._device, self._communicator = seed, device, communicator
        self.description = repr(trajectories)
        self.held_out = self._simulated(0)
        self._index, self._batches = -1, self.held_out

    def round(self, index: int) -> TrajectoryBatches:
        """Return the states of a round, simulated when another one was asked for before."""
        if index != self._index:
            del self._batches  # two rounds of training states need not fit into memory
            self._index, self._batches = index, self._simulated(index + 1)
        return self._batches

    def _simulated(self, index: int) -> TrajectoryBatches:
        dataset = self._trajectories.round(
            self._process, index, seed=self._seed, device=self._device, communicator=self._communicator
        )
        return TrajectoryBatches(self._process, dataset, self._training, self._device, divided=False)
