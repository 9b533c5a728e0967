"""The settings of a fit, checked before anything is computed."""

import dataclasses
import math
from typing import Literal

__all__ = ["Training"]

COUNTS = {
    "steps": 1,
    "batch": 1,
    "validate_every": 1,
    "checkpoint_every": 1,
    "steps_per_round": 1,
    "warm_up": 0,
    "bad_steps": 0,
    "snapshots": 0,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """How to train a score.

    Arguments:
        steps: Optimiser steps.
        batch: Samples in a step, shared between the ranks.
        learning_rate: Largest learning rate of Adam.
        schedule: Course of the learning rate after the warm-up: along a cosine to zero, or constant.
        warm_up: Steps over which the learning rate first rises from zero.
        average_decay: Decay of the exponential moving average of the parameters, which is what is validated and
            returned.
        first_time: First time to train for, [time]; the objective's lag after the first frame when None, or the
            second frame where lags shrink towards the first.
        early_emphasis: Power p in t = first + (last - first) u^p with u uniform; 1 is uniform in time, larger
            values dwell on early times. It belongs to the loss that is minimised.
        importance_sampling: Whether times are drawn in proportion to the root mean square of their loss, measured
            before the fit, and weighted back: the loss that is minimised is the same, its gradient less noisy.
        held_out: Fraction of the paths that is never trained on and gives the validation loss.
        validate_every: Steps between validation losses.
        patience: Validations in a row without improvement that end the fit; None, as the learning rate is to fall to
            its end, lets it run all its steps.
        significance: Standard errors of the difference, sample by sample, by which validation losses must differ to
            count as better or worse.
        bad_steps: Steps between two validations that may be skipped because a loss or gradient is not finite.
        checkpoint_every: Steps between checkpoints.
        snapshots: Scores to keep on the way, at validations whose steps grow in equal ratios, to see how the error
            falls; none when 0.
        gradient_limit: Largest norm of a gradient; longer ones are shortened to it.
        precision: Precision of the network's products while it is trained. Parameters, their averages, validation and
            all that is not the network stay in float32.
        compile: Whether the network is compiled by ``torch.compile``, which takes some seconds at the start; not for
            objectives that differentiate it twice.
        steps_per_round: Steps that learn from one round of fresh trajectories, where they are simulated while
            learning; rounded up to the steps that samples are made for at once.
    """

    steps: int = 20_000
    batch: int = 1024
    learning_rate: float = 3e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    warm_up: int = 0
    average_decay: float = 0.999
    first_time: float | None = None
    early_emphasis: float = 1.0
    importance_sampling: bool = False
    held_out: float = 0.05
    validate_every: int = 500
    patience: int | None = None
    significance: float = 2.0
    bad_steps: int = 10
    checkpoint_every: int = 2000
    snapshots: int = 0
    gradient_limit: float = 10.0
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    steps_per_round: int = 512

    def __post_init__(self) -> None:
        self._check_counts()
        for name in ("learning_rate", "gradient_limit"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"`{name}` must be positive and finite; got {value}.")
        if self.schedule not in ("cosine", "constant"):
            raise ValueError(f"`schedule` must be cosine or constant; got {self.schedule!r}.")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"`precision` must be float32 or bfloat16; got {self.precision!r}.")
        if not 0 <= self.average_decay < 1:
            raise ValueError(f"`average_decay` must be in [0, 1); got {self.average_decay}.")
        if not 0 < self.held_out < 1:
            raise ValueError(f"`held_out` must be in (0, 1); got {self.held_out}.")
        if not (math.isfinite(self.early_emphasis) and self.early_emphasis >= 1):
            raise ValueError(f"`early_emphasis` must be at least 1; got {self.early_emphasis}.")
        if not (math.isfinite(self.significance) and self.significance >= 0):
            raise ValueError(f"`significance` must be finite and not negative; got {self.significance}.")
        if self.first_time is not None and not math.isfinite(self.first_time):
            raise ValueError(f"`first_time` must be finite; got {self.first_time}.")

    def _check_counts(self) -> None:
        counts = COUNTS | ({} if self.patience is None else {"patience": 1})
        for name, least in counts.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"`{name}` must be an integer; got {value!r}.")
            if value < least:
                raise ValueError(f"`{name}` must be at least {least}; got {value}.")
        if self.warm_up >= self.steps and self.warm_up > 0:
            raise ValueError(f"`warm_up` must be below the {self.steps} steps; got {self.warm_up}.")

    @property
    def snapshot_steps(self) -> frozenset[int]:
        """Steps after which a score is kept: validations from first to last, in ratios as equal as they allow."""
        first, last = self.validate_every, self.steps // self.validate_every * self.validate_every
        if self.snapshots == 0 or last < first:
            return frozenset()
        ratio = (last / first) ** (1 / max(1, self.snapshots - 1))
        wanted = (last / ratio**k for k in range(self.snapshots))
        return frozenset(max(1, round(step / self.validate_every)) * self.validate_every for step in wanted)

    def learning_rate_after(self, step: int) -> float:
        """Return the learning rate after some steps: a rise in a straight line, then the schedule."""
        if step < self.warm_up:
            return self.learning_rate * (step + 1) / (self.warm_up + 1)
        if self.schedule == "constant":
            return self.learning_rate
        done = min(step - self.warm_up, self.steps - self.warm_up) / (self.steps - self.warm_up)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
