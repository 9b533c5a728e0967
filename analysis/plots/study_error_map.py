"""Figure: relative score errors of a study over two of its axes."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter
from numpy.typing import NDArray

from analysis.plots.figure import SINGLE_COLUMN, styled
from analysis.plots.study_axis import StudyAxis, error_label
from analysis.plots.study_error import study_error

__all__ = ["plot_study_error_map"]

MOST_WRITTEN = 8  # points of an axis up to which the numbers are written out
MOST_ROWS = 12  # points of an axis up to which the figure grows
ROOM_FOR_MAP, ROOM_FOR_ROW = 1.3, 0.4  # inches


def plot_study_error_map(study: xr.Dataset, across: str, up: str, reference: str, time: float) -> Figure:
    """Draw the error at one time over two axes of a study as a map.

    Arguments:
        study: Joined results, as ``open_study`` reads them.
        across: Name of the horizontal axis.
        up: Name of the vertical axis.
        reference: Name of the reference.
        time: Time, of which the nearest compared one is taken.

    Returns:
        The figure: means over all other axes, in percent with the digits that their standard errors leave, where there
        is room. Places without a result are hatched. Select a point of a further axis beforehand that is more than a
        repetition.
    """
    mean = study_error(study, [up, across], reference=reference).sel(time=time, method="nearest")
    horizontal, vertical = StudyAxis.of(study, across), StudyAxis.of(study, up)
    # Increasing to the right and upwards, equally wide whatever the values.
    shown = np.ix_(vertical.order, horizontal.order)
    value, error = (100 * mean[name].values[shown] for name in ("value", "standard_error"))
    known = value[np.isfinite(value) & (value > 0)]
    with styled():
        height = ROOM_FOR_MAP + ROOM_FOR_ROW * max(3, min(len(value), MOST_ROWS))
        figure = Figure(figsize=(SINGLE_COLUMN, height), layout="constrained")
        axes = figure.subplots()
        axes.set_facecolor("0.93")
        axes.patch.set(hatch="////", edgecolor="0.75")
        scale = LogNorm(known.min(), max(known.max(), 1.01 * known.min())) if known.size else None
        mesh = axes.pcolormesh(np.ma.masked_invalid(value), norm=scale)
        if max(value.shape) <= MOST_WRITTEN:
            _write(axes, mesh, value, error)
        axes.set_xticks(np.arange(value.shape[1]) + 0.5, [horizontal.texts[i] for i in horizontal.order])
        axes.set_yticks(np.arange(value.shape[0]) + 0.5, [vertical.texts[i] for i in vertical.order])
        axes.tick_params(length=0)
        axes.tick_params(axis="x", rotation=horizontal.slant)
        axes.set_xlabel(horizontal.title)
        axes.set_ylabel(vertical.title)
        bar = figure.colorbar(mesh, ax=axes, label=f"{error_label(mean)}, %", format=LogFormatter())
        bar.ax.yaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(1.5, 0.5)))
        axes.set_title(f"$t = {float(mean['time']):g}$", loc="left")
    return figure


def _write(axes: Axes, mesh: QuadMesh, value: NDArray[np.float64], error: NDArray[np.float64]) -> None:
    """Write the numbers into the map, dark on light and light on dark."""
    for (row, column), number in np.ndenumerate(value):
        if np.isfinite(number):
            colour = mesh.to_rgba(np.array([number]))[0]
            dark = np.dot(colour[:3], (0.3, 0.59, 0.11)) < 0.5  # brightness as the eye weighs it
            text = _rounded(float(number), float(error[row, column]))
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=7, color="w" if dark else "k")


def _rounded(number: float, error: float) -> str:
    """Return a number with the digits that its standard error leaves, two at least."""
    sizes = [number / 10, error]
    places = [-int(np.floor(np.log10(size))) for size in sizes if np.isfinite(size) and size > 0]
    return f"{number:.{max(0, *places)}f}"
