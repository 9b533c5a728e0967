"""Figure: sample paths with the quantiles of their law, and marginal densities at a few times."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.plots.figure import DOUBLE_COLUMN, styled
from analysis.plots.shown_components import shown_components
from physcore.process import Process
from physcore.trajectory import component
from physcore.variable import axis_label, reciprocal_units

__all__ = ["plot_trajectories"]

SHOWN_PATHS = 8
SHOWN_VARIABLES = 4
MOST_BINS = 60
FEWEST_BINS = 15
BANDS = ((0.05, 0.95, "0.85"), (0.25, 0.75, "0.68"))


def plot_trajectories(process: Process, trajectories: xr.Dataset, times: Sequence[float]) -> Figure:
    """Draw paths and marginals over time.

    Arguments:
        process: The process, for labels.
        trajectories: Trajectory Dataset in memory.
        times: Times of the marginal densities.

    Returns:
        The figure: a row for each variable, paths and quantile bands on the left, densities on the right. Of many
        variables or particles the first are shown.
    """
    shown = shown_components(process, SHOWN_VARIABLES)
    with styled():
        figure = Figure(figsize=(DOUBLE_COLUMN, 1.9 * len(shown) + 0.4), layout="constrained")
        axes = figure.subplots(len(shown), 2, squeeze=False, width_ratios=(2, 1))
        for row, index in zip(axes, shown, strict=True):
            variable, values = process.variables[index], component(process, trajectories, index)
            _paths(row[0], values)
            _marginals(row[1], values, times)
            row[0].set_ylabel(variable.label)
            row[1].set_xlabel(variable.label)
            row[1].set_ylabel(axis_label("density", reciprocal_units(variable.units)))
        axes[-1, 0].set_xlabel(axis_label("time $t$", process.time_units))
        compact = {"columnspacing": 1.0, "handlelength": 1.5}
        bands, moments = (panel.get_legend_handles_labels() for panel in axes[0])
        figure.legend(*bands, loc="outside upper left", ncols=len(bands[1]), **compact)
        figure.legend(*moments, loc="outside upper right", ncols=len(moments[1]), **compact)
    return figure


def _paths(axes: Axes, states: xr.DataArray) -> None:
    states = states.transpose("time", "path")
    times = states["time"].values
    for low, high, grey in BANDS:
        lower, upper = np.quantile(states.values, [low, high], axis=1)
        axes.fill_between(times, lower, upper, color=grey, linewidth=0, label=f"{100 * (high - low):.0f} % of paths")
    axes.plot(times, states.values[:, :SHOWN_PATHS], color="C0", linewidth=0.6)
    axes.plot([], [], color="C0", linewidth=0.6, label="paths")
    axes.plot(times, np.median(states.values, axis=1), color="black", linestyle="--", label="median")


def _marginals(axes: Axes, states: xr.DataArray, times: Sequence[float]) -> None:
    chosen = states.sel(time=list(times), method="nearest")
    low, high = np.quantile(chosen.values, [0.001, 0.999])
    # The rule of Rice, twice the cube root of the sample: with more bins the noise of few paths hides the curve.
    bins = int(np.clip(2 * np.cbrt(chosen.sizes["path"]), FEWEST_BINS, MOST_BINS))
    edges = np.linspace(low, high, bins + 1)
    styles = ("-", "--", ":", "-.")
    for i, time in enumerate(chosen["time"].values):
        values = chosen.sel(time=time).values
        counts = np.histogram(values, edges)[0]
        density = counts / (len(values) * np.diff(edges))
        axes.plot((edges[1:] + edges[:-1]) / 2, density, styles[i % len(styles)], label=f"$t = {time:g}$")
    axes.set_ylim(bottom=0)
