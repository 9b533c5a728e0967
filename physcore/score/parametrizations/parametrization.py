"""The contract of a parametrisation: settings from which a score is built for a process and its trajectories."""

import abc
from typing import ClassVar

from physcore.process import Process
from physcore.score.lags import LagSchedule, Pilot
from physcore.score.model import ScoreModel

__all__ = ["Parametrization"]


class Parametrization(abc.ABC):
    """How a score is stated by a network."""

    group: ClassVar[str] = "physcore.models"

    @abc.abstractmethod
    def build(
        self, process: Process, pilot: Pilot, schedule: LagSchedule, time_range: tuple[float, float]
    ) -> ScoreModel:
        """Return a fresh score whose scales are those of the trajectories.

        Arguments:
            process: The process.
            pilot: Simulated states.
            schedule: Lags of the objective.
            time_range: First and last time to train for.
        """
