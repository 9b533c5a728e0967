"""Figure: where a learned score is off, its difference from a reference over a plane, with the density."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure

from analysis.plots.axes import density_contours, signed_ticks, variable_label
from analysis.plots.figure import DOUBLE_COLUMN, styled
from physcore.variable import axis_label, reciprocal_units

__all__ = ["plot_score_difference"]

CLEAR = 2  # standard errors within which a difference is not coloured


def plot_score_difference(difference: xr.Dataset, reference: str) -> Figure:
    """Draw the difference of a learned score from a reference.

    Arguments:
        difference: The quantity ``score-difference``.
        reference: Name of the reference.

    Returns:
        A row for each component and a column for each time: of two variables maps with lines of equal density, grey
        where the difference is within two standard errors of zero; of one variable curves with bands of two standard
        errors, over the density.
    """
    part = difference.sel(score=reference).dropna("time", how="all", subset=["value"])
    plane, components = part.attrs["variables"].split(), part["component"].values
    times = part["time"].values
    with styled():
        size = (DOUBLE_COLUMN, 2.0 * len(components) + 0.5)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(len(components), len(times), sharex=True, sharey="row", squeeze=False)
        for component, row in zip(components, panels, strict=True):
            entries = part.sel(component=component)
            symbol = part[component].attrs["symbol"] if component in plane else component
            label = rf"$\Delta s_{{{symbol}}}$"
            if component in plane:
                label = axis_label(label, reciprocal_units(part[component].attrs["units"]))
            bound = float(np.nanquantile(np.abs(entries["value"].values), 0.98)) or 1.0
            for axes, time in zip(row, times, strict=True):
                (_curve if len(plane) == 1 else _map)(axes, entries.sel(time=time), plane, bound)
                axes.set_title(f"$t = {time:g}$" if axes in panels[0] else "", loc="left")
            if len(plane) == 2:
                bar = figure.colorbar(row[-1].collections[0], ax=list(row), extend="both", label=label)
                signed_ticks(bar, bound)
            row[0].set_ylabel(label if len(plane) == 1 else variable_label(part[plane[1]]))
        for axes in panels[-1]:
            axes.set_xlabel(variable_label(part[plane[0]]))
        shade = "; grey: density" if len(plane) == 1 else "; lines: density"
        figure.suptitle(f"score, learned less {reference}{shade}", fontsize=10)
    return figure


def _map(axes: Axes, entry: xr.Dataset, plane: list[str], bound: float) -> None:
    value, error = (entry[name].transpose(plane[1], plane[0]).values for name in ("value", "standard_error"))
    clear = np.abs(value) > CLEAR * error
    norm = AsinhNorm(linear_width=bound / 5, vmin=-bound, vmax=bound)
    x, y = (entry[name].values for name in plane)
    shown = np.where(clear, value, np.nan)
    axes.pcolormesh(x, y, shown, norm=norm, cmap="RdBu_r", shading="nearest", rasterized=True)
    axes.set_facecolor("0.9")
    density_contours(axes, entry["density"], plane)


def _curve(axes: Axes, entry: xr.Dataset, plane: list[str], bound: float) -> None:
    x, value, width = (np.asarray(entry[name].values) for name in (plane[0], "value", "standard_error"))
    density = entry["density"].values
    axes.fill_between(x, -bound, -bound + bound * density / density.max(), color="0.88", linewidth=0)
    axes.axhline(0, color="0.7", lw=0.8)
    axes.fill_between(x, value - 2 * width, value + 2 * width, color="C0", alpha=0.3, linewidth=0)
    axes.plot(x, value, color="C0")
    axes.set_ylim(-1.3 * bound, 1.3 * bound)
