"""Batches of simulated states, drawn from trajectories held in memory on the device."""

import math

import numpy as np
import torch
import xarray as xr

from physcore.errors import DataFileError
from physcore.process import Process
from physcore.score.objectives.objective import Batch
from physcore.score.training import Training
from physcore.trajectory import frames

__all__ = ["TrajectoryBatches"]


class TrajectoryBatches:
    """Draws times and simulated states at the last frame that lies a lag before them.

    Arguments:
        process: The process.
        trajectories: Trajectory Dataset.
        lag: Least time between a simulated state and the wanted time, [time].
        training: Settings: batch size, held-out fraction, first time, early emphasis.
        device: Where the states are held.

    Raises:
        DataFileError: If the trajectories are shorter than the lag, or too few to hold some out.
        ValueError: If the first time lies outside the trajectories.
    """

    def __init__(
        self, process: Process, trajectories: xr.Dataset, lag: float, training: Training, device: torch.device
    ) -> None:
        self.states = frames(process, trajectories).to(device)
        times = np.asarray(trajectories["time"].values, dtype=np.float64)
        first = times[0] + lag if training.first_time is None else training.first_time
        if times[-1] <= times[0] + lag:
            raise DataFileError(
                f"trajectories end at {times[-1]:g}; a lag of {lag:g} after {times[0]:g} needs longer ones."
            )
        if not times[0] < first < times[-1]:
            raise ValueError(f"`first_time` must lie inside ({times[0]:g}, {times[-1]:g}); got {first:g}.")
        self.time_range = (float(first), float(times[-1]))
        self.lag = lag
        self.training = training
        # float64: the frame below t - lag must be found exactly, or the lag would jump by a frame.
        self.times = torch.tensor(times, device=device)
        paths = self.states.shape[1]
        held_out = math.ceil(paths * training.held_out)
        if held_out >= paths:
            raise DataFileError(f"{paths} paths are too few to hold out {held_out} and train on the others.")
        self.training_paths = range(paths - held_out)
        self.held_out_paths = range(paths - held_out, paths)

    def draw(self, samples: int, paths: range, generator: torch.Generator) -> Batch:
        """Draw a batch.

        Arguments:
            samples: Number of samples.
            paths: Which paths to draw from.
            generator: Source of randomness, on the device of the states.

        Returns:
            States, start times and wanted times in float32.
        """
        device = self.states.device
        first, last = self.time_range
        uniform = torch.rand(samples, generator=generator, device=device, dtype=torch.float64)
        time = first + (last - first) * uniform**self.training.early_emphasis
        frame = torch.searchsorted(self.times, time - self.lag + 1e-9 * self.lag, right=True).sub_(1).clamp_(min=0)
        path = torch.randint(paths.start, paths.stop, (samples,), generator=generator, device=device)
        start = self.times[frame]
        return Batch(state=self.states[frame, path], start=start.float(), time=(start + (time - start)).float())
