"""Labels and scales that figures of binned variables share."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.contour import QuadContourSet

__all__ = ["density_contours", "variable_label"]

LEVELS = (0.05, 0.3, 0.7)  # of the largest density


def variable_label(coordinate: xr.DataArray) -> str:
    """Return the axis label of a binned variable: symbol and units.

    Arguments:
        coordinate: Its centres of bins, with attributes ``symbol`` and ``units``.
    """
    symbol, units = coordinate.attrs["symbol"], coordinate.attrs["units"]
    return f"${symbol}$" if units == "1" else f"${symbol}$ [{units}]"


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
