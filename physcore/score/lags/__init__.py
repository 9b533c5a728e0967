"""Lag schedules: how far before each time the simulated state lies that a training target starts from."""

from physcore.score.lags.automatic import AutomaticLag
from physcore.score.lags.clock import ClockLag
from physcore.score.lags.fixed import FixedLag
from physcore.score.lags.schedule import LagSchedule, Pilot
from physcore.score.lags.tabulated import TabulatedLag

__all__ = ["AutomaticLag", "ClockLag", "FixedLag", "LagSchedule", "Pilot", "TabulatedLag"]
