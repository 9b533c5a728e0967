"""The grid of a study: one run for every combination of the points of its axes."""

import dataclasses
import itertools
import json
import math
from collections.abc import Mapping
from typing import Any

from physcore.configuration import completed_run, merged, nested
from physcore.registry import names
from physcore.study.axes import Axis, label_text

__all__ = ["Cell", "Grid"]

MOST_CELLS = 100_000
LONGEST_NAME = 200  # of a directory; file systems allow 255 bytes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """One run of a study.

    Arguments:
        index: Index of its point on every axis.
        name: Name of its directory, ``lag=0.1,seed=2``.
        configuration: Configuration of the run, as ``physcore run`` takes it.
    """

    index: tuple[int, ...]
    name: str
    configuration: dict[str, Any]

    @property
    def trunk(self) -> str:
        """What fixes its trajectories and its score: cells that differ in the comparison alone have it in common."""
        return json.dumps({key: value for key, value in self.configuration.items() if key != "compare"}, sort_keys=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grid:
    """The runs of a study.

    Arguments:
        run: Name of a process, whose default run is meant, or the content of a run's file.
        axes: The axes by name, as a study's file has them; see ``Axis.parsed``.
    """

    run: str | dict[str, Any]
    axes: tuple[Axis, ...]

    def __post_init__(self) -> None:
        if self.size > MOST_CELLS:
            raise ValueError(f"the grid has {self.size} cells; at most {MOST_CELLS} are allowed.")
        keys = [key for axis in self.axes for key in axis.keys]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"`{key}` is set by more than one axis.")

    @classmethod
    def parsed(cls, run: str | dict[str, Any], axes: Mapping[str, Any]) -> "Grid":
        """Return the grid that a study's file describes.

        Raises:
            ValueError: If there is no run or no axis, or one of these cannot be.
        """
        if not run:
            raise ValueError("a study must have a `run`: a process, a YAML file or the content of one.")
        if not axes:
            raise ValueError("a study must have `axes`: by name of the dimension, a key and its values.")
        return cls(run=run, axes=tuple(Axis.parsed(name, given) for name, given in axes.items()))

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of points of every axis."""
        return tuple(len(axis.labels) for axis in self.axes)

    @property
    def size(self) -> int:
        """Number of cells."""
        return math.prod(self.shape)

    def cells(self) -> list[Cell]:
        """Return all cells, those of the last axis next to each other.

        Raises:
            ValueError: If the run names no known process, the name of a cell is too long, or an axis sets a key of a
                stage that the run does not have.
        """
        runs: dict[Any, dict[str, Any]] = {}  # by process, whose default run is read once
        return [self._cell(index, runs) for index in itertools.product(*(range(count) for count in self.shape))]

    def labels(self, cell: Cell) -> dict[str, str]:
        """Return the label of a cell on every axis, as text."""
        return {axis.name: label_text(axis.labels[i]) for axis, i in zip(self.axes, cell.index, strict=True)}

    def _cell(self, index: tuple[int, ...], runs: dict[Any, dict[str, Any]]) -> Cell:
        texts = [f"{axis.name}={label_text(axis.labels[i])}" for axis, i in zip(self.axes, index, strict=True)]
        name = ",".join(texts)
        if len(name) > LONGEST_NAME:
            raise ValueError(f"the name of the cell {name!r} is longer than {LONGEST_NAME} characters; shorten labels.")
        points = [item for axis, i in zip(self.axes, index, strict=True) for item in axis.points[i].items()]
        settings: dict[str, Any] = {}
        # A whole part before what is inside it: `fit.objective` before `fit.objective.lag`, whichever comes first.
        for key, value in sorted(points, key=lambda item: item[0].count(".")):
            settings = merged(settings, nested(key, value))
        base = {"process": self.run} if isinstance(self.run, str) else self.run
        process = settings.get("process", base.get("process"))
        if process not in runs:
            runs[process] = {"simulate": {}} | completed_run({**base, "process": process}, "`run`")
        run = runs[process]
        for stage in set(names("physcore.commands")) & settings.keys() - run.keys():
            raise ValueError(
                f"cell {name}: an axis sets keys of `{stage}` but the run has no such stage; give it a section "
                f"`{stage}`, empty for the defaults."
            )
        return Cell(index=index, name=name, configuration=merged(run, settings))
