"""The settings of a fit, checked before anything is computed."""

import dataclasses
import math

__all__ = ["Training"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """How to train a score.

    Arguments:
        steps: Optimiser steps.
        batch: Samples in a step, shared between the ranks.
        learning_rate: Learning rate of Adam at the start; it falls to zero along a cosine.
        average_decay: Decay of the exponential moving average of the parameters, which is the result.
        first_time: First time to train for, [time]; the objective's lag after the first frame when None, or the
            second frame where lags shrink towards the first.
        early_emphasis: Power p in t = first + (last - first) u^p with u uniform; 1 is uniform in time, larger
            values dwell on early times.
        held_out: Fraction of the paths that is never trained on and gives the validation loss.
        validate_every: Steps between validation losses.
        checkpoint_every: Steps between checkpoints.
        gradient_limit: Largest norm of a gradient; longer ones are shortened to it.
    """

    steps: int = 20_000
    batch: int = 1024
    learning_rate: float = 3e-3
    average_decay: float = 0.999
    first_time: float | None = None
    early_emphasis: float = 1.0
    held_out: float = 0.05
    validate_every: int = 500
    checkpoint_every: int = 2000
    gradient_limit: float = 10.0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "validate_every", "checkpoint_every"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"`{name}` must be an integer; got {value!r}.")
            if value < 1:
                raise ValueError(f"`{name}` must be at least 1; got {value}.")
        for name in ("learning_rate", "gradient_limit"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"`{name}` must be positive and finite; got {value}.")
        if not 0 <= self.average_decay < 1:
            raise ValueError(f"`average_decay` must be in [0, 1); got {self.average_decay}.")
        if not 0 < self.held_out < 1:
            raise ValueError(f"`held_out` must be in (0, 1); got {self.held_out}.")
        if not (math.isfinite(self.early_emphasis) and self.early_emphasis >= 1):
            raise ValueError(f"`early_emphasis` must be at least 1; got {self.early_emphasis}.")
        if self.first_time is not None and not math.isfinite(self.first_time):
            raise ValueError(f"`first_time` must be finite; got {self.first_time}.")

    def learning_rate_after(self, step: int) -> float:
        """Return the learning rate after some steps, a cosine from the first value to zero."""
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(step, self.steps) / self.steps))
