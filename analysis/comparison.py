"""The settings of a comparison, checked before anything is computed."""

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physcore.registry import NAMED, name_and_parameters

__all__ = ["Comparison", "Reversal", "nearest_saved"]

TIME_TOLERANCE = 1e-6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reversal:
    """How states are run backwards.

    Arguments:
        paths: Number of reversed paths.
        dt: Largest time step, [time]; a 250th of the time that is run back when null.
        scheme: Registered name of the integration scheme.
        times: Saved times to stop at, the last of which they start from; those of the tables when null. Before the
            first time at which the score is trained the score of the initial law takes over by and by.
        scores: Which scores states are run backwards by: ``learned``, names of references; the learned one alone when
            null. A reference that is computed at some times alone is taken linear in time between those of the frames.

    Raises:
        ValueError: If a setting is out of range.
    """

    paths: int = 4096
    dt: float | None = None
    scheme: str = dataclasses.field(default="heun", metadata={NAMED: "physcore.schemes"})
    times: list[float] | None = None
    scores: list[str] | None = None

    def __post_init__(self) -> None:
        if self.scores is not None and (not self.scores or len(set(self.scores)) < len(self.scores)):
            raise ValueError(f"`reversal.scores` must name one or more different scores; got {self.scores}.")
        if self.times is not None and not (len(set(self.times)) > 1 and all(map(math.isfinite, self.times))):
            raise ValueError(f"`reversal.times` must be two or more different times; got {self.times}.")
        if self.paths < 2:
            raise ValueError(f"`reversal.paths` must be at least 2; got {self.paths}.")
        if self.dt is not None and not (self.dt > 0 and math.isfinite(self.dt)):
            raise ValueError(f"`reversal.dt` must be positive and finite; got {self.dt}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """What to compare a learned score with, and where.

    Arguments:
        references: References, each a registered name or a mapping of its ``name`` and parameters. When null: exact for
            a process with a closed form, else fokker-planck.
        quantities: Quantities to estimate, each a registered name or a mapping of its ``name`` and options. When null:
            those that are cheap and that the process has.
        times: Saved times of the tables, of the score fields and of what is costly; when null, three of them spread
            over the run.
        paths: States in a frame to average over, taken from the last paths, which hold those not trained on.
        blocks: Independent blocks of paths, whose scatter is held against the standard errors.
        reversal: How states are run backwards, for quantities that ask for it.
    """

    references: list[str | dict[str, Any]] | None = dataclasses.field(
        default=None, metadata={NAMED: "physcore.references"}
    )
    quantities: list[str | dict[str, Any]] | None = dataclasses.field(
        default=None, metadata={NAMED: "physcore.quantities"}
    )
    times: list[float] | None = None
    paths: int = 20_000
    blocks: int = 32
    reversal: Reversal = dataclasses.field(default_factory=Reversal)

    def __post_init__(self) -> None:
        _check_once("references", self.named_references)
        _check_once("quantities", self.named_quantities)
        for time in self.times or []:
            if not math.isfinite(time):
                raise ValueError(f"`times` must be finite; got {time}.")
        if self.paths < 2:
            raise ValueError(f"`paths` must be at least 2; got {self.paths}.")
        if not 2 <= self.blocks <= self.paths:
            raise ValueError(f"`blocks` must be between 2 and `paths` = {self.paths}; got {self.blocks}.")

    @property
    def named_quantities(self) -> list[tuple[str, dict[str, Any]]] | None:
        """The quantities by name, each with its options; None where none are named."""
        return _named("quantities", self.quantities)

    @property
    def named_references(self) -> list[tuple[str, dict[str, Any]]] | None:
        """The references by name, each with its parameters; None where none are named."""
        return _named("references", self.references)


def _named(kind: str, given: list[str | dict[str, Any]] | None) -> list[tuple[str, dict[str, Any]]] | None:
    if given is None:
        return None
    for spec in given:
        if not isinstance(spec, str) and not isinstance(spec.get("name"), str):
            raise ValueError(f"each of `{kind}` must be a name or have a `name`; got {spec!r}.")
    return list(map(name_and_parameters, given))


def _check_once(kind: str, named: list[tuple[str, dict[str, Any]]] | None) -> None:
    """Refuse a name that stands twice: what is computed is kept and told by name."""
    every = [name for name, _ in named or ()]
    for name in every:
        if every.count(name) > 1:
            raise ValueError(f"`{kind}` names {name!r} twice; give it once, or compare again in another run directory.")


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
