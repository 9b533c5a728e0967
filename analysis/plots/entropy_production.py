"""Figure: entropy production against time, beside what is known."""

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.plots.axes import time_label
from analysis.plots.figure import SINGLE_COLUMN, legend_above, styled
from physcore.variable import axis_label

__all__ = ["plot_entropy_production"]

MARKERS = ("o", "s", "^", "D")
FINE = 400  # points of a known curve

Curve = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def plot_entropy_production(estimates: Mapping[str, xr.Dataset], known: Curve | None = None) -> Figure:
    """Draw entropy production rates over time and, where the answer is known, how far they are off.

    Arguments:
        estimates: Results of ``entropy_production_rate`` by the name to show them under, such as ``"learned"`` and
            ``"exact score"``.
        known: The total rate at times of shape ``(time,)``; none is drawn when None.

    Returns:
        The figure: total rates with bars of one standard error, and the medium's part of the first estimate with a band
        of one; below, if something is known, the total less the known rate. The convention of parities stands on top.
    """
    if not estimates:
        raise ValueError("`estimates` must hold one result at least.")
    first = next(iter(estimates.values()))
    with styled():
        figure = Figure(figsize=(SINGLE_COLUMN, 2.8 if known is None else 4.0), layout="constrained")
        ratios = (1,) if known is None else (2, 1)
        panels = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
        rates, units = panels[0], first["value"].attrs["units"]
        medium, spread = (first[key].sel(quantity="medium") for key in ("value", "standard_error"))
        rates.fill_between(first["time"], medium - spread, medium + spread, color="0.5", alpha=0.2, lw=0)
        rates.plot(first["time"], medium, ":", color="0.5", lw=1.2, label="medium")
        if known is not None:
            times = np.linspace(float(first["time"][0]), float(first["time"][-1]), FINE)
            rates.plot(times, known(times), color="0.6", lw=3, alpha=0.6, label="known")
            panels[1].axhline(0, color="0.6", lw=3, alpha=0.6)
        for i, (name, estimate) in enumerate(estimates.items()):
            total, error = (estimate[key].sel(quantity="total").values for key in ("value", "standard_error"))
            style = {"fmt": MARKERS[i % len(MARKERS)], "ms": 3.5, "mfc": "none", "lw": 0.8, "color": f"C{i}"}
            moments = estimate["time"].values
            rates.errorbar(moments, total, error, label=name, **style)
            if known is not None:
                panels[1].errorbar(moments, total - known(moments), error, **style)
        rates.set_ylabel(axis_label(r"$\dot S$", units))
        if known is not None:
            panels[1].set_ylabel("total less known")
        panels[-1].set_xlabel(time_label(first["time"]))
        legend_above(figure, first.attrs["parity"])
    return figure
