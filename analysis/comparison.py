"""The settings of a comparison, checked before anything is computed."""

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Comparison", "nearest_saved"]

TIME_TOLERANCE = 1e-6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """What to compare a learned score with, and where.

    Arguments:
        references: References, each with its registered ``name`` and parameters. When null: exact for a process with a
            closed form, else fokker-planck.
        times: Saved times of the table and of the score fields; when null, three of them spread over the run.
        paths: States in a frame to average over, taken from the last paths, which hold those not trained on.
        blocks: Independent blocks of paths behind the standard errors.
    """

    references: list[dict[str, Any]] | None = None
    times: list[float] | None = None
    paths: int = 20_000
    blocks: int = 32

    def __post_init__(self) -> None:
        for reference in self.references or []:
            if not isinstance(reference.get("name"), str):
                raise ValueError(f"each of `references` must have a `name`; got {reference!r}.")
        for time in self.times or []:
            if not math.isfinite(time):
                raise ValueError(f"`times` must be finite; got {time}.")
        if not 2 <= self.blocks <= self.paths:
            raise ValueError(f"`blocks` must be between 2 and `paths` = {self.paths}; got {self.blocks}.")


def nearest_saved(saved: NDArray[np.float64], time: float) -> float:
    """Return the saved time that a time means, to rounding.

    Arguments:
        saved: Times of the frames.
        time: The time asked for.

    Raises:
        ValueError: If it was not saved; the nearest frame is named.
    """
    nearest = float(saved[np.argmin(np.abs(saved - time))])
    if abs(nearest - time) > TIME_TOLERANCE * max(1.0, abs(time)):
        raise ValueError(f"`times` holds {time:g}, which was not saved; the nearest frame is {nearest:g}.")
    return nearest
