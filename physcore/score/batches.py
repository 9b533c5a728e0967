"""Batches of simulated states, drawn from trajectories held in memory on the device."""

import math

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from physcore.errors import DataFileError
from physcore.process import Process
from physcore.score.frame_search import FrameSearch
from physcore.score.importance import TimeProposal
from physcore.score.lags import LagSchedule, Pilot
from physcore.score.objectives.objective import Batch, Objective
from physcore.score.training import Training
from physcore.trajectory import frames

__all__ = ["TrajectoryBatches", "check_room"]

PILOT_STATES = 1_048_576


class TrajectoryBatches:
    """Draws times, and simulated states at the last frame that lies a lag before them.

    Arguments:
        process: The process.
        trajectories: Trajectory Dataset.
        training: Settings: held-out fraction, first time, early emphasis.
        device: Where the states are held.
        divided: Whether some of the paths are held out; where not, all of them serve both ends.

    Raises:
        DataFileError: If the paths are too few to hold some out.
    """

    def __init__(
        self,
        process: Process,
        trajectories: xr.Dataset,
        training: Training,
        device: torch.device,
        *,
        divided: bool = True,
    ) -> None:
        self.process = process
        self.states = frames(process, trajectories).to(device)
        # float64: the frame below t - lag must be found exactly, or the lag would jump by a frame.
        self.times = torch.tensor(np.asarray(trajectories["time"].values, dtype=np.float64), device=device)
        self._search = FrameSearch(self.times)
        self.training = training
        paths = self.states.shape[1]
        trained = paths - _held_out(paths, training) if divided else paths
        self.training_paths = range(trained)
        self.held_out_paths = range(trained if divided else 0, paths)

    def time_range(self, schedule: LagSchedule) -> tuple[float, float]:
        """Return the first and last time to train for.

        Arguments:
            schedule: Lags of the objective. Unless the settings say otherwise, the first time is the first that lies
                its lag after the first frame, the second frame for lags that shrink towards the first.

        Raises:
            DataFileError: If the trajectories are shorter than the lag.
            ValueError: If the first time of the settings lies outside the trajectories.
        """
        return _trained_range(self.times, schedule, self.training)

    @property
    def pilot(self) -> Pilot:
        """Some of the training states."""
        paths = max(1, min(len(self.training_paths), PILOT_STATES // len(self.times)))
        return Pilot(process=self.process, times=self.times, states=self.states[:, :paths].float())

    def places(self, objective: Objective, time: Tensor) -> Tensor:
        """Return the numbers u in [0, 1] that make times, which are uniform unless a proposal says otherwise.

        Arguments:
            objective: What the times are for.
            time: Times, shape ``(sample,)``.
        """
        first, last = self._drawn_range(objective)
        fraction = ((time.double() - first) / (last - first)).clamp(0, 1)
        return fraction ** (1 / self.training.early_emphasis)

    def draw(
        self,
        samples: int,
        paths: range,
        objective: Objective,
        generator: torch.Generator,
        proposal: TimeProposal | None = None,
    ) -> Batch:
        """Draw a batch.

        Arguments:
            samples: Number of samples.
            paths: Which paths to draw from.
            objective: What the states are for. Where its lag is zero, the times drawn are those of the frames. Times
                are drawn beyond the last frame as far as its samples reach back, so that the end is not left out; as
                many states as it asks for share one.
            generator: Source of randomness, on the device of the states.
            proposal: Density of the numbers that make times; uniform when None.

        Returns:
            States, start times, wanted times and, for a proposal, the factors that undo it, in float32.
        """
        device = self.states.device
        schedule = objective.schedule
        first, last = self._drawn_range(objective)
        together = objective.states_per_time
        uniform = torch.rand(-(-samples // together), generator=generator, device=device, dtype=torch.float64)
        uniform = uniform.repeat_interleave(together)[:samples]
        places, importance = (uniform, None) if proposal is None else proposal.drawn(uniform)
        time = first + (last - first) * places**self.training.early_emphasis
        lag = schedule.lag(time)
        frame = self._search.last_before(time - (1 - 1e-9) * lag)
        if bool((lag <= 0).any()):
            nearest = torch.searchsorted((self.times[1:] + self.times[:-1]) / 2, time)
            frame = torch.where(lag > 0, frame, nearest)
        path = torch.randint(paths.start, paths.stop, (samples,), generator=generator, device=device)
        start = self.times.index_select(0, frame)
        time = torch.where(lag > 0, start + (time - start), start)
        return Batch(
            state=self.states.flatten(0, 1).index_select(0, frame * self.states.shape[1] + path),
            start=start.float(),
            time=time.float(),
            importance=None if importance is None else importance.float(),
        )

    def _drawn_range(self, objective: Objective) -> tuple[float, float]:
        first, last = self.time_range(objective.schedule)
        return first, last + objective.spread * float(objective.schedule.lag(self.times[-1:]))


def check_room(paths: int, times: NDArray[np.float64], schedule: LagSchedule, training: Training) -> None:
    """Refuse trajectories with too few paths or too short a time for a fit, before they are simulated.

    Arguments:
        paths: Number of paths.
        times: Times of the frames.
        schedule: Lags of the objective.
        training: Settings of the fit.

    Raises:
        ValueError: If they do not suffice.
    """
    try:
        _held_out(paths, training)
        if schedule.known:
            _trained_range(torch.from_numpy(times), schedule, training)
    except DataFileError as error:  # there is no file yet
        raise ValueError(str(error)) from error


def _held_out(paths: int, training: Training) -> int:
    """Return how many of the paths are not trained on."""
    number = math.ceil(paths * training.held_out)
    if number >= paths:
        raise DataFileError(f"{paths} paths are too few to hold out {number} and train on the others.")
    return number


def _trained_range(times: Tensor, schedule: LagSchedule, training: Training) -> tuple[float, float]:
    start, end, first = float(times[0]), float(times[-1]), training.first_time
    if first is None:
        candidates = torch.linspace(start, end, 1024, dtype=torch.float64)
        reached = candidates - schedule.lag(candidates) >= start - 1e-9
        lag = float(schedule.lag(candidates[-1:]))
        if not reached[:-1].any():
            raise DataFileError(f"trajectories end at {end:g}; a lag of {lag:g} after {start:g} needs longer ones.")
        first = start + float(schedule.lag(candidates[reached.int().argmax()]))
        if first == start and lag > 0:
            first = float(times[1])
    elif not start < first < end:
        raise ValueError(f"`first_time` must lie inside ({start:g}, {end:g}); got {first:g}.")
    return first, end
