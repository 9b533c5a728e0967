"""The record of a fit: losses against steps and time."""

import dataclasses
from typing import Any

import numpy as np
import xarray as xr

__all__ = ["History"]

COLUMNS = {
    "training_loss": "mean loss of the training samples since the last entry",
    "validation_loss": "loss of the averaged parameters on held-out paths",
    "validation_standard_error": "standard error of the validation loss",
    "learning_rate": "learning rate",
    "skipped": "steps skipped since the last entry, for a loss or gradient that is not finite",
    "elapsed": "time spent training",
}


@dataclasses.dataclass
class History:
    """Losses recorded while a score is fitted.

    Arguments:
        steps: Optimiser steps at each entry.
        columns: Values at each entry by name, the names of ``COLUMNS``.
    """

    steps: list[int] = dataclasses.field(default_factory=list)
    columns: dict[str, list[float]] = dataclasses.field(default_factory=lambda: {name: [] for name in COLUMNS})

    def record(self, step: int, **values: float) -> None:
        """Add an entry with a value for every column."""
        self.steps.append(step)
        for name, column in self.columns.items():
            column.append(float(values[name]))

    @property
    def elapsed(self) -> float:
        """Seconds of training at the last entry."""
        return self.columns["elapsed"][-1] if self.steps else 0.0

    def csv(self) -> str:
        """Return the history as comma-separated values, a line of names and a line for each entry."""
        rows = zip(self.steps, *(self.columns[name] for name in COLUMNS), strict=True)
        lines = [",".join(["step", *COLUMNS]), *(",".join(map(repr, row)) for row in rows)]
        return "\n".join(lines) + "\n"

    def dataset(self, attributes: dict[str, Any]) -> xr.Dataset:
        """Return the history as a Dataset with dimension ``step``."""
        variables = {
            name: (
                "step",
                np.array(self.columns[name]),
                {"long_name": text, "units": "s" if name == "elapsed" else "1"},
            )
            for name, text in COLUMNS.items()
        }
        return xr.Dataset(variables, {"step": ("step", np.array(self.steps, dtype=np.int64))}, attributes)
