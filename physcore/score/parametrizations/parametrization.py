"""The contract of a parametrisation: settings from which a score is built for a process and its trajectories."""

import abc
import dataclasses
from typing import ClassVar

from physcore.process import Process
from physcore.score.components import Selection, check_selection
from physcore.score.lags import LagSchedule, Pilot
from physcore.score.model import ScoreModel
from physcore.score.networks import MLP, Architecture

__all__ = ["Parametrization"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parametrization(abc.ABC):
    """How a score is stated by a network.

    Arguments:
        network: The network.
        components: Which components are learned: all, or those that noise drives. A score returns zero in the others.

    Raises:
        ValueError: If a setting is out of range.
    """

    network: Architecture = dataclasses.field(default_factory=MLP)
    components: Selection = "all"

    group: ClassVar[str] = "physcore.models"

    def __post_init__(self) -> None:
        check_selection(self.components)

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

        Raises:
            ValueError: If the parametrisation or its network does not suit the process; the reason is given.
        """
