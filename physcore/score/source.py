"""Where the states that a fit learns from come from: trajectories at hand, or fresh ones, simulated while learning."""

import abc
from typing import Protocol

import torch
import xarray as xr

from physcore.process import Process
from physcore.score.batches import TrajectoryBatches
from physcore.score.training import Training

__all__ = ["Fresh", "FreshTrajectories", "Source", "Stored"]


class FreshTrajectories(Protocol):
    """Simulates trajectories anew for each round of a fit, the same for the same round.

    Nothing is stored, so a round may be asked for again after a restart.
    """

    def __call__(self, index: int) -> xr.Dataset:
        """Return the trajectories of a round.

        Arguments:
            index: Index of the round. All ranks ask for the same one at the same time, and get the same.

        Returns:
            Trajectories with dimensions ``path`` and ``time``; the times are the same in all rounds.
        """
        ...


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
    """Fresh trajectories for each round, those of round 0 held out.

    Arguments:
        process: The process.
        simulate: What simulates them.
        training: Settings of the batches.
        device: Where the states are held.
    """

    def __init__(self, process: Process, simulate: FreshTrajectories, training: Training, device: torch.device) -> None:
        self._process, self._simulate, self._training, self._device = process, simulate, training, device
        self._index, self._batches = 0, self._simulated(0)
        self.held_out = self._batches
        self.description = repr(simulate)

    def round(self, index: int) -> TrajectoryBatches:
        """Return the states of a round, simulated when another one was asked for before."""
        if index + 1 != self._index:
            self._index, self._batches = index + 1, self._simulated(index + 1)
        return self._batches

    def _simulated(self, index: int) -> TrajectoryBatches:
        return TrajectoryBatches(self._process, self._simulate(index), self._training, self._device, divided=False)
