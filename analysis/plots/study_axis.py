"""What figures of a study have in common: the points of its axes, and the error that they show."""

import dataclasses
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import NDArray

__all__ = ["StudyAxis", "error_bars", "error_label"]

CYCLE = 7  # colours in the package's style
SPREAD = 8  # ratio of the values of an axis from which on it is logarithmic
WIDTH = 36  # characters that a line of labels has room for
BESIDE = 6  # characters that stand for the line of a legend beside its label


@dataclasses.dataclass(frozen=True)
class StudyAxis:
    """An axis of a study as figures show it.

    Arguments:
        name: Name of the dimension.
        labels: Its labels.
    """

    name: str
    labels: NDArray[Any]

    @classmethod
    def of(cls, study: xr.Dataset, name: str) -> "StudyAxis":
        """Return an axis of joined results."""
        return cls(name, study[name].values)

    @property
    def numeric(self) -> bool:
        """Whether the labels are numbers."""
        return self.labels.dtype.kind in "fiu"

    @property
    def title(self) -> str:
        """Name in words."""
        return self.name.replace("_", " ")

    @property
    def texts(self) -> list[str]:
        """The labels as text."""
        return [f"{label:g}" if self.numeric else str(label) for label in self.labels]

    @property
    def slant(self) -> int:
        """Angle at which the labels stand below an axis, in degrees."""
        return 30 if sum(len(text) + 2 for text in self.texts) > WIDTH else 0

    @property
    def columns(self) -> int:
        """Columns of a legend of the labels."""
        return max(1, min(4, WIDTH // (max(map(len, self.texts)) + BESIDE)))

    @property
    def order(self) -> NDArray[np.intp]:
        """Indices of the points from left to right."""
        return np.argsort(self.places, kind="stable")

    @property
    def colours(self) -> list[Any]:
        """A colour for each point: numbers and many points along a scale, a few others told apart by hue."""
        count = len(self.labels)
        if count <= (2 if self.numeric else CYCLE):
            return [f"C{i}" for i in range(count)]
        scale = matplotlib.colormaps["cividis"]
        return [scale(0.88 * float(rank) / (count - 1)) for rank in np.argsort(self.order)]

    @property
    def places(self) -> NDArray[np.float64]:
        """Where the points lie on a horizontal axis."""
        return np.asarray(self.labels if self.numeric else np.arange(len(self.labels)), dtype=np.float64)

    def put_on(self, axes: Axes) -> None:
        """Make this the horizontal axis, logarithmic where numbers differ by much."""
        axes.set_xlabel(self.title)
        if not self.numeric:
            axes.set_xticks(self.places, self.texts, rotation=self.slant)
            axes.set_xlim(-0.5, len(self.labels) - 0.5)
        elif self.places.min() > 0 and self.places.max() > SPREAD * self.places.min():
            axes.set_xscale("log")


def error_label(errors: xr.Dataset) -> str:
    """Return what the errors of ``study_error`` are, in a few words."""
    selection = errors.attrs["selection"]
    return "relative score error" if selection == "full" else f"relative error of {selection} score"


def error_bars(value: NDArray[np.float64], error: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return bars of one standard error; one that reached below zero would run off a logarithmic axis."""
    return np.minimum(error, 0.9 * value), error
