"""A score evaluated at simulated states, with what can be said beforehand about where it is known."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from analysis.quantities.blocks import Frame, saved_times
from analysis.references.reference import Reference
from physcore.errors import NumericalError
from physcore.process import Process
from physcore.score.model import ScoreModel
from physcore.score.score_function import ScoreFunction

__all__ = ["SampledScore", "held_components"]


def held_components(process: Process, score: ScoreFunction) -> list[int]:
    """Return the components that a score holds: those that were learned, all of any other score."""
    return list(score.components) if isinstance(score, ScoreModel) else list(range(process.dimension))


@dataclasses.dataclass(frozen=True)
class SampledScore:
    """A score of a process, learned or known.

    Arguments:
        process: The process.
        function: The score.
        needed: Components that are needed; all when None.

    Raises:
        TypeError: If it has no method ``score``.
        ValueError: If a learned score is of another process or does not hold the needed components.
    """

    process: Process
    function: ScoreFunction
    needed: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.function, ScoreFunction):
            raise TypeError(f"`score` must have a method score(state, time); {type(self.function).__name__} has none.")
        if not isinstance(self.function, ScoreModel):
            return
        if self.function.process.dimension != self.process.dimension:
            raise ValueError(
                f"`score` is of {self.function.process!r}, which has {self.function.process.dimension} components; "
                f"the process has {self.process.dimension}."
            )
        needed = range(self.process.dimension) if self.needed is None else self.needed
        missing = [self.process.variables[i].name for i in needed if i not in self.function.components]
        if missing:
            raise ValueError(f"`score` does not hold the components {missing}; fit one with `components` = all.")

    def known_at(self, time: float) -> bool:
        """Return whether the score is known at a time: everywhere but outside the range that one was trained for."""
        return not isinstance(self.function, ScoreModel) or self.function.trained_at(time)

    def prepared(self, trajectories: xr.Dataset, times: Sequence[float] | None) -> NDArray[np.float64]:
        """Return the saved times at which the score is wanted, the work of a reference for them done.

        Arguments:
            trajectories: Dataset with dimensions ``path`` and ``time``.
            times: Saved times; all at which the score is known when None.

        Raises:
            ValueError: If a time was not saved or lies outside the trained range.
        """
        moments = saved_times(self.process, trajectories, times, self.known_at)
        self.prepare(moments)
        return moments

    def prepare(self, times: NDArray[np.float64]) -> None:
        """Let a reference that computes do its work for these times."""
        if isinstance(self.function, Reference):
            self.function.prepare([float(time) for time in times])

    def at(self, frame: Frame) -> tuple[Tensor, Tensor]:
        """Return the score at the states of a frame, evaluated once for all who ask.

        Arguments:
            frame: States and their time.

        Returns:
            Scores of shape ``(path, component)``, float64 and zero where nothing is known; and where something is,
            shape ``(path,)``.

        Raises:
            NumericalError: If a learned score is not finite; the time is named.
        """
        key = id(self.function)
        if key not in frame.scores:
            frame.scores[key] = self._evaluated(frame)
        return frame.scores[key]

    def _evaluated(self, frame: Frame) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            score = self.function.score(frame.states, frame.time).double().cpu()
        known = torch.isfinite(score).all(-1)
        if isinstance(self.function, ScoreModel) and not known.all():
            raise NumericalError(f"the learned score is not finite at time {float(frame.time):g}.")
        return torch.where(known.unsqueeze(-1), score, 0.0), known
