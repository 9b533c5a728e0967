"""Figure: simulated samples and those that learned scores make, run backwards, side by side."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from analysis.plots.axes import variable_label
from analysis.plots.figure import DOUBLE_COLUMN, styled
from physcore.variable import axis_label

__all__ = ["plot_reversed_samples"]

PARTS = (("simulated", "simulated_standard_error"), ("value", "standard_error"))


def plot_reversed_samples(densities: xr.Dataset, distance: xr.Dataset | None = None) -> Figure:
    """Draw densities of simulated and of reversed samples.

    Arguments:
        densities: The quantity ``reversed-density``.
        distance: The quantity ``sliced-wasserstein-distance``, told in the titles; it is not when None.

    Returns:
        Of two variables two-dimensional histograms: a column for each time, a row of the simulated samples and one for
        each score that was run backwards from the last of the times, over it the sliced Wasserstein distance of the two
        and that of two simulated samples. Of one variable curves with bands of two standard errors.
    """
    part = densities.dropna("time", how="all", subset=["value"])
    plane, times = part.attrs["variables"].split(), part["time"].values
    scores = [str(score) for score in part["score"].values]
    rows = [("simulated", part.isel(score=0)[["simulated"]].rename(simulated="value"))]
    rows += [(f"reversed, {score} score", part.sel(score=score)[["value"]]) for score in scores]
    with styled():
        if len(plane) == 1:
            return _curves(part, plane[0], scores, times)
        figure = Figure(figsize=(DOUBLE_COLUMN, 1.9 * len(rows) + 0.5), layout="constrained")
        panels = figure.subplots(len(rows), len(times), sharex=True, sharey=True, squeeze=False)
        for column, time in zip(panels.T, times, strict=True):
            most = float(rows[0][1]["value"].sel(time=time).max())
            for axes, (_, row) in zip(column, rows, strict=True):
                _histogram(axes, row["value"].sel(time=time), plane, most)
            bar = figure.colorbar(column[0].collections[0], ax=list(column), location="bottom", shrink=0.9, pad=0.02)
            bar.ax.tick_params(labelsize=7)
            bar.set_ticks([0, round_down(most / 4), round_down(most)])
            bar.set_label(axis_label("density", part["value"].attrs.get("units", "1")), fontsize=8)
            column[0].set_title(f"$t = {time:g}$", loc="left")
            for axes, score in zip(column[1:], scores, strict=True):
                axes.set_title(_told(distance, score, float(time), bool(time == times[-1])), loc="left", fontsize=8)
            column[-1].set_xlabel(variable_label(part[plane[0]]))
        for axes, (name, _) in zip(panels[:, 0], rows, strict=True):
            axes.set_ylabel(f"{name}\n{variable_label(part[plane[1]])}")
    return figure


def _histogram(axes: Axes, density: xr.DataArray, plane: list[str], most: float) -> None:
    x, y = (density[name].values for name in plane)
    shown = density.transpose(plane[1], plane[0]).values
    # The root of the density: the thin flanks are seen beside the peak.
    axes.pcolormesh(
        x, y, np.where(shown > 0, shown, np.nan), norm=PowerNorm(0.5, 0, most), shading="nearest", rasterized=True
    )


def round_down(number: float) -> float:
    """Return a positive number with one digit, not above it."""
    digit = 10.0 ** np.floor(np.log10(number))
    return float(np.floor(number / digit + 1e-9) * digit)


def _told(distance: xr.Dataset | None, score: str, time: float, last: bool) -> str:
    if last:
        return "start: states\nof other paths"
    if distance is None:
        return ""
    entry = distance.sel(score=score, time=time)
    value, floor = float(entry["value"]), float(entry["floor"])
    return f"distance {value:.3f}\ntwo samples {floor:.3f}" if np.isfinite(value) else ""


def _curves(part: xr.Dataset, name: str, scores: Sequence[str], times: np.ndarray) -> Figure:
    figure = Figure(figsize=(DOUBLE_COLUMN, 2.4), layout="constrained")
    panels = figure.subplots(1, len(times), sharey=True, squeeze=False)[0]
    x = part[name].values
    for axes, time in zip(panels, times, strict=True):
        entries = part.sel(time=time)
        shown = [("simulated", entries.isel(score=0), PARTS[0])]
        shown += [(f"reversed, {score} score", entries.sel(score=score), PARTS[1]) for score in scores]
        for i, (label, entry, (value, error)) in enumerate(shown):
            middle, width = entry[value].values, 2 * entry[error].values
            axes.fill_between(x, middle - width, middle + width, color=f"C{i}", alpha=0.3, linewidth=0)
            axes.plot(x, middle, color=f"C{i}", ls="-" if i == 0 else "--", label=label)
        axes.set(xlabel=variable_label(part[name]))
        axes.set_title(f"$t = {time:g}$", loc="left")
    panels[0].set_ylabel(axis_label("density", part["value"].attrs.get("units", "1")))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=3)
    return figure
