"""Figure: how reliable the error bars are, standard errors predicted from paths against the scatter of blocks."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from analysis.plots.figure import DOUBLE_COLUMN, styled

__all__ = ["plot_reliability"]

MARKERS = "os^Dv<>P"


def plot_reliability(calibration: xr.Dataset) -> Figure:
    """Draw predicted against observed standard errors.

    Arguments:
        calibration: What ``calibration`` returned.

    Returns:
        On the left every estimate, a point on the diagonal where its error bar is right, with the band in which 95 % of
        independent ones lie; on the right the ratio for each quantity, with bars of one standard error of estimates of
        which all are dependent.
    """
    quantities = [str(name) for name in calibration["quantity"].values]
    width = 2 / np.sqrt(2 * max(1, calibration.attrs["blocks"] - 1))
    with styled():
        figure = Figure(figsize=(DOUBLE_COLUMN, 3.0), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1, 1))
        x, y, of = (calibration[name].values for name in ("predicted", "observed", "of"))
        span = np.array([x.min() / 1.5, x.max() * 1.5])
        left.fill_between(span, span * (1 - width), span * (1 + width), color="0.88", linewidth=0, zorder=0)
        left.plot(span, span, color="0.5", lw=0.8)
        for i, _ in enumerate(quantities):
            left.plot(
                x[of == i], y[of == i], MARKERS[i % 8], ms=2, mew=0.4, mfc="none", color=f"C{i % 7}", rasterized=True
            )
        left.set(xscale="log", yscale="log", xlabel="standard error, predicted from paths")
        left.set_ylabel("scatter of blocks")
        for axis in (left.xaxis, left.yaxis):
            axis.set_minor_formatter(NullFormatter())
        right.axvspan(1 - width, 1 + width, color="0.88", linewidth=0)
        right.axvline(1, color="0.5", lw=0.8)
        ratio, error = calibration["value"].values, calibration["standard_error"].values
        for i, _ in enumerate(quantities):
            style = {"fmt": MARKERS[i % 8], "ms": 4, "mfc": "none", "lw": 0.8, "color": f"C{i % 7}"}
            right.errorbar(ratio[i], i, xerr=error[i], **style)
        right.set_yticks(range(len(quantities)), quantities, fontsize=8)
        right.invert_yaxis()
        right.set_xlabel("scatter of blocks / predicted")
    return figure
