"""Figure: relative score error against the distance from the bulk."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from analysis.plots.figure import SINGLE_COLUMN, styled

__all__ = ["plot_tail_error"]

MARKERS = "osD^vP"


def plot_tail_error(errors: xr.Dataset) -> Figure:
    """Draw the errors of scores in bins of the distance from the bulk.

    Arguments:
        errors: What ``tail_error`` returned.

    Returns:
        The figure: a line for each score with bars of one standard error, and a dashed one at the error of no score at
        all, s = 0.
    """
    distance = errors["distance"].values
    with styled():
        figure = Figure(figsize=(SINGLE_COLUMN, 2.8), layout="constrained")
        axes = figure.subplots()
        for i, name in enumerate(errors["score"].values):
            part = errors.sel(score=name)
            value, error = part["value"].values, part["standard_error"].values
            # A bar that reached below zero would run off a logarithmic axis.
            bars = (np.minimum(error, 0.9 * value), error)
            axes.errorbar(distance, value, bars, marker=MARKERS[i % len(MARKERS)], ms=3.5, lw=0.9, label=str(name))
        axes.axhline(1.0, color="0.5", lw=0.8, ls="--")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("distance from the median, robust units")
        axes.set_ylabel(r"$E|s_\theta - s|^2\, /\, E|s|^2$ at that distance")
        figure.legend(loc="outside upper left", ncols=2)
    return figure
