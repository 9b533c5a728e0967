"""Figure: the probability current over the density, in one or two variables."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.plots.axes import variable_label
from analysis.plots.figure import DOUBLE_COLUMN, SINGLE_COLUMN, styled
from physcore.variable import axis_label

__all__ = ["plot_probability_current"]

LEAST_DEVIATIONS = 3  # standard errors that a current must stand out by, so that noise is not drawn as flow
MOST_ARROWS = 20  # along an axis


def plot_probability_current(
    current: xr.Dataset, time: float, beside: Mapping[str, xr.Dataset] = MappingProxyType({})
) -> Figure:
    """Draw the current of one time over the density.

    Arguments:
        current: What ``probability_current`` returned.
        time: One of its times.
        beside: The same by other scores, by the name to show them under, for comparison in one variable.

    Returns:
        Of two variables a map of the density with arrows of the current, one of the longest for scale; of one a curve
        each, with bands of two standard errors. Bins whose current is within three standard errors of zero have no
        arrow.
    """
    chosen = current.sel(time=time, method="nearest")
    names = [str(name) for name in chosen["direction"].values]
    labels = [variable_label(chosen[name]) for name in names]
    with styled():
        if len(names) == 1:
            figure = Figure(figsize=(DOUBLE_COLUMN, 2.4), layout="constrained")
            others = {name: other.sel(time=time, method="nearest") for name, other in beside.items()}
            _curves(figure, chosen, names[0], labels[0], others)
            figure.suptitle(f"probability current at $t = {float(chosen['time']):g}$", fontsize=10)
        else:
            figure = Figure(figsize=(SINGLE_COLUMN, 3.0), layout="constrained")
            _map(figure, figure.subplots(), chosen, names, labels)
    return figure


def _curves(figure: Figure, chosen: xr.Dataset, name: str, label: str, others: Mapping[str, xr.Dataset]) -> None:
    x, row = chosen[name].values, chosen.sel(direction=name)
    left, right = figure.subplots(1, 2)
    drawn = ((left, "density", "density_standard_error", "density"), (right, "value", "standard_error", "current $J$"))
    for axes, value, error, text in drawn:
        middle, width = row[value].values, 2 * row[error].values
        axes.fill_between(x, middle - width, middle + width, color="C0", alpha=0.3, linewidth=0)
        axes.plot(x, middle, color="C0", label="learned")
        axes.set(xlabel=label, ylabel=axis_label(text, row[value].attrs["units"]))
    for i, (other, field) in enumerate(others.items(), start=1):
        right.plot(x, field["value"].sel(direction=name), "--", color=f"C{i}", label=other)
    right.axhline(0, color="0.7", lw=0.8)
    if others:
        right.legend()


def _map(figure: Figure, axes: Axes, chosen: xr.Dataset, names: list[str], labels: list[str]) -> None:
    x, y = (chosen[name].values for name in names)
    density = chosen["density"].transpose(names[1], names[0]).values
    shown = np.where(density > 0, density, np.nan)
    mesh = axes.pcolormesh(x, y, shown, shading="nearest", cmap="Greys", rasterized=True)
    figure.colorbar(mesh, ax=axes, label=axis_label("density", chosen["density"].attrs["units"]))
    flow, error = (
        np.stack([chosen[key].sel(direction=name).transpose(names[1], names[0]).values for name in names])
        for key in ("value", "standard_error")
    )
    seen = (flow**2).sum(0) > LEAST_DEVIATIONS**2 * (error**2).sum(0)
    strides = [max(1, -(-len(side) // MOST_ARROWS)) for side in (y, x)]
    sparse = tuple(slice(stride // 2, None, stride) for stride in strides)
    arrows = np.where(seen, flow, np.nan)[:, sparse[0], sparse[1]]
    longest = float(np.nanmax(np.hypot(*arrows), initial=0.0))
    if longest > 0:
        quiver = axes.quiver(
            x[sparse[1]], y[sparse[0]], *arrows, color="C1", scale=12 * longest, width=0.006, pivot="mid"
        )
        key = axis_label(f"$J = {longest:.2g}$", chosen["value"].attrs["units"])
        axes.quiverkey(quiver, 0.6, 1.05, longest, key, labelpos="E", coordinates="axes")
    unseen = "" if longest > 0 else ", no current beyond its noise"
    axes.set_title(f"$t = {float(chosen['time']):g}${unseen}", loc="left")
    axes.set(xlabel=labels[0], ylabel=labels[1])
