"""The settings of a study."""

import dataclasses
from typing import Any

from physcore.study.grid import Grid

__all__ = ["Study"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """A grid of runs.

    Arguments:
        run: What ``physcore run`` takes: name of a process, a YAML file, or the content of one.
        axes: By name of the dimension: values of the key of that name; lists of values by dotted key, which vary
            together; or by label the settings of each point.
        ranks_per_cell: Ranks that share one cell; the number of ranks must be a multiple of it.
    """

    run: str | dict[str, Any] = ""
    axes: dict[str, Any] = dataclasses.field(default_factory=dict)
    ranks_per_cell: int = 1

    def __post_init__(self) -> None:
        if self.ranks_per_cell < 1:
            raise ValueError(f"`ranks_per_cell` must be at least 1; got {self.ranks_per_cell}.")

    @property
    def grid(self) -> Grid:
        """The grid of its cells."""
        return Grid.parsed(self.run, self.axes)
