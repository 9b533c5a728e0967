"""Figure: training and validation loss against steps."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.plots.figure import SINGLE_COLUMN, above_least, legend_above, styled, whole_decades

__all__ = ["plot_loss_history"]

FEW = 12  # entries up to which each has a marker


def plot_loss_history(history: xr.Dataset) -> Figure:
    """Draw the losses of a fit.

    Arguments:
        history: The Dataset of ``score.history``.

    Returns:
        The figure. A denoising loss does not fall to zero: its floor is the noise of the targets. The validation
        loss uses the same held-out samples at every entry, so its changes are finer than its standard error: below
        stands how far it is above its least, where there are several.
    """
    with styled():
        steps = history["step"].values
        excess = above_least(history["validation_loss"].values)
        shown = np.isfinite(excess)
        rows = 2 if shown.any() else 1
        figure = Figure(figsize=(SINGLE_COLUMN, 2.0 * rows + 0.4), layout="constrained")
        panels = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
        marker = "o" if len(steps) <= FEW else ""
        style: dict[str, Any] = {"marker": marker, "ms": 2.5}
        panels[0].plot(steps, history["training_loss"], color="C1", linewidth=0.8, label="training", **style)
        panels[0].plot(steps, history["validation_loss"], color="C0", label="held out, averaged", **style)
        panels[0].set_ylabel("loss")
        if shown.any():
            panels[1].semilogy(steps[shown], excess[shown], color="C0", **style)
            panels[1].set_ylabel("held-out loss above its least")
            whole_decades(panels[1])
        panels[-1].set_xlabel("optimiser step")
        panels[-1].xaxis.set_major_locator(MaxNLocator(4, integer=True))
        legend_above(figure)
    return figure
