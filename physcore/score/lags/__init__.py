"""Lag schedules: how far before each time the simulated state lies that a training target starts from."""

from physcore.score.lags.fixed import FixedLag
from physcore.score.lags.schedule import LagSchedule, Pilot

__all__ = ["FixedLag", "LagSchedule", "Pilot"]
