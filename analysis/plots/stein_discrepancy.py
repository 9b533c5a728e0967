"""Figure: kernel Stein discrepancy against time, beside what it would be were the score right."""

from collections.abc import Mapping
from typing import Any

import xarray as xr
from matplotlib.figure import Figure

from analysis.plots.axes import time_label
from analysis.plots.figure import SINGLE_COLUMN, legend_above, styled

__all__ = ["plot_stein_discrepancy"]

MARKERS = ("o", "s", "^", "D")
LEVEL = 0.05  # of a test, under which a marker is filled
ENDS = (0.05, 0.95)  # quantiles between which a band lies


def plot_stein_discrepancy(estimates: Mapping[str, xr.Dataset]) -> Figure:
    """Draw squared discrepancies of scores over time, over the largest that are likely were each score right.

    Arguments:
        estimates: Results of ``kernel_stein_discrepancy`` or ``diffusion_kernel_stein_discrepancy`` by the name to show
            them under, such as ``"learned"``.

    Returns:
        The figure: V-statistics over their 95 % quantile in the bootstrap, filled where the test rejects the score at
        5 %, and a band from the least 5 % quantile to there.
    """
    if not estimates:
        raise ValueError("`estimates` must hold one result at least.")
    with styled():
        figure = Figure(figsize=(SINGLE_COLUMN, 2.8), layout="constrained")
        axes = figure.subplots()
        lows = []
        for i, (name, estimate) in enumerate(estimates.items()):
            low, high = (estimate["null"].sel(quantile=end).values for end in ENDS)
            lows.append(xr.DataArray(low / high, {"time": estimate["time"].values}, ["time"]))
            times, value = estimate["time"].values, estimate["v_statistic"].values / high
            rejected = estimate["p_value"].values <= LEVEL
            style: dict[str, Any] = {
                "marker": MARKERS[i % len(MARKERS)],
                "ms": 3.5,
                "ls": "none",
                "color": f"C{i}",
                "mew": 0.8,
            }
            axes.plot(times, value, mfc="none", label=name, **style)
            axes.plot(times[rejected], value[rejected], **style)
        lowest = xr.concat(lows, "estimate", join="outer").min("estimate")
        axes.fill_between(lowest["time"], lowest, 1.0, color="0.5", alpha=0.2, lw=0, zorder=0)
        axes.axhline(1.0, color="0.5", lw=0.8, zorder=0)
        axes.set_yscale("log")
        axes.set_xlabel(time_label(next(iter(estimates.values()))["time"]))
        axes.set_ylabel(r"${\rm KSD}^2\, /\,$ its 95 % quantile")
        legend_above(figure, "filled: rejected at 5 %; band: were the score right")
    return figure
