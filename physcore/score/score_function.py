"""Anything that knows a score: a learned model, a reference, a process whose law is known."""

from typing import Protocol, runtime_checkable

from torch import Tensor

__all__ = ["LogDensity", "ScoreFunction"]


@runtime_checkable
class ScoreFunction(Protocol):
    """A time-dependent score to compute with."""

    def score(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the score of the law at one time.

        Arguments:
            state: States, shape ``(..., component)``.
            time: One time, shape ``()``, float64.

        Returns:
            Shape of ``state``, units 1 / [state]; NaN where nothing is known.
        """


@runtime_checkable
class LogDensity(Protocol):
    """A time-dependent log density."""

    def log_density(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the log density of the law at one time.

        Arguments:
            state: States, shape ``(..., component)``.
            time: One time, shape ``()``, float64.

        Returns:
            Shape ``(...)``; NaN where nothing is known.
        """
