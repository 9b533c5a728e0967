"""Figure: the error of a score against the time spent training it."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.plots.figure import SINGLE_COLUMN, above_least, styled, whole_decades

__all__ = ["plot_error_against_training_time"]


def plot_error_against_training_time(history: xr.Dataset, errors: xr.Dataset | None = None) -> Figure:
    """Draw the held-out loss, and where scores were kept on the way their relative errors, against training time.

    Arguments:
        history: The Dataset of ``score.history``.
        errors: Relative errors of kept scores, dimensions ``elapsed`` and ``time``: ``value`` with ``standard_error``;
            none are drawn when None.

    Returns:
        The figure. The loss stands above its least, with the standard error of a single loss for scale: losses on the
        same held-out samples are told apart more finely than that. It is left out where there are too few.

    Raises:
        ValueError: If there is nothing to draw: too few losses and no errors.
    """
    falls = bool(np.isfinite(above_least(history["validation_loss"].values)).any())
    if not falls and errors is None:
        raise ValueError("`history` must hold two losses above the least where no `errors` are given.")
    with styled():
        rows = int(falls) + int(errors is not None)
        figure = Figure(figsize=(SINGLE_COLUMN, 2.2 * rows + 0.4), layout="constrained")
        panels = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
        if falls:
            _losses(panels[0], history)
        if errors is not None:
            _errors(panels[-1], errors)
        panels[-1].set_xlabel("training time [s]")
    return figure


def _losses(axes: Axes, history: xr.Dataset) -> None:
    seconds, loss = history["elapsed"].values, history["validation_loss"].values
    excess = above_least(loss)
    shown = np.isfinite(excess)
    axes.plot(seconds[shown], excess[shown], "o-", ms=2.5, color="C0", label="held out")
    error = float(history["validation_standard_error"].values[-1])
    axes.axhline(error, color="0.5", lw=0.8, ls=":", label="standard error of one loss")
    axes.set(yscale="log", ylabel="loss above its least")
    _legend(axes, 2)


def _errors(axes: Axes, errors: xr.Dataset) -> None:
    for i, time in enumerate(errors["time"].values):
        entry = errors.sel(time=time)
        value, error = entry["value"].values, entry["standard_error"].values
        # A bar that reached below zero would run off a logarithmic axis.
        bars = (np.minimum(error, 0.9 * value), error)
        style: dict[str, Any] = {"fmt": "os^Dv"[i % 5] + "-", "ms": 3, "mfc": "none", "lw": 0.8}
        axes.errorbar(errors["elapsed"].values, value, bars, label=f"$t = {time:g}$", **style)
    axes.set(yscale="log", ylabel="relative score error")
    whole_decades(axes)
    _legend(axes, 3)


def _legend(axes: Axes, columns: int) -> None:
    """Put the labels above the panel, where they cover no point."""
    compact = {"columnspacing": 1.0, "handlelength": 1.4, "handletextpad": 0.4, "borderaxespad": 0.2}
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, **compact)
