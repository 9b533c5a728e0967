"""The density of a table as a labelled array."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from analysis.references.grid.table import LogDensityTable
from physcore.variable import Variable, reciprocal_units

__all__ = ["density_array"]


def density_array(table: LogDensityTable, variables: Sequence[Variable], time: float) -> xr.DataArray:
    """Return the density at one time, dimensions and coordinates named as the variables.

    Arguments:
        table: The log density.
        variables: Variables of the process.
        time: Time it belongs to, kept as an attribute.
    """
    coordinates = {
        variable.name: (
            variable.name,
            table.cells.centres(axis),
            {"units": variable.units, "long_name": variable.long_name or variable.name},
        )
        for axis, variable in enumerate(variables)
    }
    units = " ".join(reciprocal_units(variable.units) for variable in variables if variable.units != "1") or "1"
    attributes = {"units": units, "long_name": "probability density", "time": time}
    values = np.exp(table.logarithm.astype(np.float64))
    return xr.DataArray(values, coordinates, [variable.name for variable in variables], "density", attributes)
