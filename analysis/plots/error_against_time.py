"""Figure: relative score error against time, with error bars and the reference's own error."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from analysis.plots.figure import SINGLE_COLUMN, styled

__all__ = ["plot_error_against_time"]

# Open circles around filled squares: both are seen where noise drives every component and the two coincide.
MARKERS: dict[str, dict[str, Any]] = {
    "full": {"fmt": "o", "ms": 4.5, "mfc": "none", "mew": 0.8},
    "driven": {"fmt": "s", "ms": 1.8},
}


def plot_error_against_time(comparison: xr.Dataset, reference: str) -> Figure:
    """Draw the relative error of a learned score over time.

    Arguments:
        comparison: What ``compare`` returned.
        reference: Name of the reference.

    Returns:
        The figure: full score and driven components, bars of one standard error, and the reference's own error.
    """
    part = comparison.sel(reference=reference)
    times = part["time"].values
    with styled():
        figure = Figure(figsize=(SINGLE_COLUMN, 2.8), layout="constrained")
        axes = figure.subplots()
        for i, (selection, style) in enumerate(MARKERS.items()):
            entry = part.sel(selection=selection)
            value, error = entry["value"].values, entry["standard_error"].values
            # A bar that reached below zero would run off a logarithmic axis.
            lower = np.minimum(error, 0.9 * value)
            axes.errorbar(times, value, (lower, error), lw=0.8, color=f"C{i}", label=f"{selection} score", **style)
        own = part["reference_error"].values
        if np.isfinite(own).any() and np.nanmax(own) > 0:
            axes.plot(times, own, "--", color="0.4", lw=1, label=f"{reference}, own error")
        axes.set_yscale("log")
        axes.set_xlabel("time $t$")
        axes.set_ylabel(r"$E|s_\theta - s_{\rm ref}|^2\, /\, E|s_{\rm ref}|^2$")
        axes.legend()
    return figure
