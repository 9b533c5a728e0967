"""Figure: training and validation loss against steps."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.plots.figure import SINGLE_COLUMN, styled

__all__ = ["plot_loss_history"]


def plot_loss_history(history: xr.Dataset) -> Figure:
    """Draw the losses of a fit.

    Arguments:
        history: The Dataset of ``score.history``.

    Returns:
        The figure. A denoising loss does not fall to zero: its floor is the noise of the targets. The validation
        loss uses the same held-out samples at every entry, so its changes are finer than its standard error.
    """
    with styled():
        figure = Figure(figsize=(SINGLE_COLUMN, 4.0), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True)
        steps = history["step"].values
        upper.plot(steps, history["training_loss"], color="C1", linewidth=0.8, label="training")
        upper.plot(steps, history["validation_loss"], color="C0", label="held out, averaged")
        upper.set_ylabel("loss")
        upper.legend()
        excess = history["validation_loss"].values - float(history["validation_loss"].min())
        shown = excess > 0
        lower.semilogy(steps[shown], excess[shown], color="C0")
        lower.set_ylabel("held-out loss above its least")
        lower.set_xlabel("optimiser step")
        lower.xaxis.set_major_locator(MaxNLocator(4))
        if np.count_nonzero(shown) == 0:
            lower.set_yscale("linear")
    return figure
