"""Figure: relative score error against time, with error bars and the reference's own error."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.plots.axes import time_label
from analysis.plots.figure import SINGLE_COLUMN, legend_above, styled, whole_decades

__all__ = ["plot_error_against_time"]

# Open circles around filled squares: both are seen where noise drives every component and the two coincide.
MARKERS: dict[str, dict[str, Any]] = {
    "full": {"fmt": "o", "ms": 4.5, "mfc": "none", "mew": 0.8},
    "driven": {"fmt": "s", "ms": 1.8},
}
DECADES_BELOW = 2  # of the axis under the least error of the score


def plot_error_against_time(comparison: xr.Dataset, reference: str) -> Figure:
    """Draw the relative error of a learned score over time.

    Arguments:
        comparison: What ``compare`` returned.
        reference: Name of the reference.

    Returns:
        The figure: full score, if all of it is learned, and driven components, bars of one standard error, and the
        reference's own error: a line, or a note above where it is far below the score's.
    """
    part = comparison.sel(reference=reference)
    times = part["time"].values
    with styled():
        figure = Figure(figsize=(SINGLE_COLUMN, 2.8), layout="constrained")
        axes = figure.subplots()
        for i, (selection, style) in enumerate(MARKERS.items()):
            entry = part.sel(selection=selection)
            value, error = entry["value"].values, entry["standard_error"].values
            if not np.isfinite(value).any():
                continue
            # A bar that reached below zero would run off a logarithmic axis.
            lower = np.minimum(error, 0.9 * value)
            axes.errorbar(times, value, (lower, error), lw=0.8, color=f"C{i}", label=f"{selection} score", **style)
        axes.set_yscale("log")
        note = _own_error(axes, part, reference)
        axes.set_xlabel(time_label(part["time"]))
        axes.set_ylabel(r"$E|s_\theta - s_{\rm ref}|^2\, /\, E|s_{\rm ref}|^2$")
        whole_decades(axes)
        legend_above(figure, note)
    return figure


def _own_error(axes: Axes, part: xr.Dataset, reference: str) -> str | None:
    """Draw the reference's own error, or return a note on one so small that it would only stretch the axis."""
    own = part["reference_error"].values
    if not np.isfinite(own).any() or np.nanmax(own) <= 0:
        return None
    errors = part["value"].sel(selection=list(MARKERS)).values
    floor = np.nanmin(errors[errors > 0], initial=np.inf) * 10**-DECADES_BELOW
    if np.nanmax(own) < floor:
        return f"{reference}: own error {np.nanmax(own):.1g} at most"
    axes.plot(part["time"].values, own, "--", color="0.4", lw=1, label="reference's error")
    axes.set_ylim(bottom=max(floor, axes.get_ylim()[0]))
    return None
