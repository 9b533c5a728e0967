"""Labels and scales that figures of binned variables share."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.contour import QuadContourSet

from analysis.rounding import rounded
from physcore.variable import axis_label

__all__ = ["density_contours", "signed_ticks", "time_label", "variable_label"]

LEVELS = (0.05, 0.3, 0.7)  # of the largest density


def variable_label(coordinate: xr.DataArray) -> str:
    """Return the axis label of a binned variable: symbol and units.

    Arguments:
        coordinate: Its centres of bins, with attributes ``symbol`` and ``units``.
    """
    return axis_label(f"${coordinate.attrs['symbol']}$", coordinate.attrs["units"])


def time_label(coordinate: xr.DataArray) -> str:
    """Return the axis label of time, with its units.

    Arguments:
        coordinate: Times, with an attribute ``units`` where they have any.
    """
    return axis_label("time $t$", coordinate.attrs.get("units", "1"))


def signed_ticks(bar: Colorbar, bound: float) -> None:
    """Label a colour bar of signed values at zero, at its bound and at a fifth of it, to either side.

    Arguments:
        bar: The colour bar.
        bound: The largest absolute value that has a colour of its own.
    """
    ticks = [-bound, -bound / 5, 0, bound / 5, bound]
    bar.set_ticks(ticks, labels=[rounded(float(f"{tick:.2g}")) or "" for tick in ticks])
    bar.ax.minorticks_off()


def density_contours(axes: Axes, density: xr.DataArray, names: list[str]) -> QuadContourSet:
    """Draw lines of equal density, at 5, 30 and 70 % of the largest.

    Arguments:
        axes: Where to draw.
        density: Density on bins of two variables.
        names: The variables of the horizontal and the vertical axis.
    """
    values = density.transpose(names[1], names[0]).values
    levels = [level * float(np.nanmax(values)) for level in LEVELS]
    x, y = (density[name].values for name in names)
    return axes.contour(x, y, values, levels=levels, colors="0.35", linewidths=0.6)
