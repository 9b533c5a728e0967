"""The trajectory Dataset: dimensions, coordinates, attributes, and the checks on what comes in.

A trajectory Dataset has dimensions ``path`` and ``time``, one variable for each physical variable of the process with
its ``units`` and ``long_name``, and ``time`` in float64 as t0 + k dt. The variables of a process of many particles have
a third dimension ``particle``. Creators are strict, readers permissive: dimensions are found by name, in any order.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from physcore.errors import DataFileError, NumericalError
from physcore.particles import stored_variables
from physcore.process import Process

__all__ = ["SCHEMA_VERSION", "component", "frames", "trajectory_dataset", "validated_trajectories"]

SCHEMA_VERSION = 1
NUMBERS_AT_ONCE = 16_000_000  # of those that are read; a whole run needs not fit into memory twice


def trajectory_dataset(
    process: Process,
    states: NDArray[Any],
    times: NDArray[np.float64],
    paths: NDArray[np.int64],
    attributes: Mapping[str, Any],
) -> xr.Dataset:
    """Build a trajectory Dataset.

    Arguments:
        process: The process that names the variables.
        states: Saved states, shape ``(component, time, path)``.
        times: Times of the frames, shape ``(time,)``.
        paths: Indices of the paths, shape ``(path,)``.
        attributes: Global attributes; what netCDF cannot hold (None, mappings, very large integers) is stored as
            JSON, booleans as 0 and 1.

    Returns:
        The Dataset.

    Raises:
        ValueError: If shapes disagree or times do not increase.
    """
    expected = (process.dimension, len(times), len(paths))
    if states.shape != expected:
        raise ValueError(f"`states` must have shape (component, time, path) = {expected}; got {states.shape}.")
    if np.any(np.diff(times) <= 0):
        raise ValueError("`times` must increase.")
    stored = stored_variables(process)
    variables = {
        item.variable.name: (
            item.dimensions,
            _axes_reversed(states[item.components], len(item.dimensions)),
            {"units": item.variable.units, "long_name": item.variable.long_name or item.variable.name},
        )
        for item in stored
    }
    coordinates: dict[str, tuple[str, NDArray[Any], dict[str, str]]] = {
        "path": ("path", paths, {"long_name": "index of the path"}),
        "time": (
            "time",
            np.asarray(times, dtype=np.float64),
            {"units": process.time_units, "long_name": "time", "axis": "T"},
        ),
    }
    if "particle" in stored[0].dimensions:
        particles = np.arange(process.dimension // len(stored))
        coordinates["particle"] = ("particle", particles, {"long_name": "index of the particle"})
    plain: dict[str, Any] = {}
    for key, value in attributes.items():
        held = isinstance(value, str | float) or (isinstance(value, int) and abs(value) < 2**63)
        plain[key] = (int(value) if isinstance(value, bool) else value) if held else json.dumps(value)
    return xr.Dataset(variables, coordinates, {"Conventions": "CF-1.11", "physcore_schema": SCHEMA_VERSION, **plain})


def validated_trajectories(process: Process, trajectories: xr.Dataset) -> xr.Dataset:
    """Return the variables of a process from a Dataset, checked.

    Arguments:
        process: The process whose variables are wanted.
        trajectories: A Dataset with dimensions ``path`` and ``time``.

    Returns:
        The Dataset's own variables, transposed to ``(path, time)`` or ``(path, time, particle)``.

    Raises:
        DataFileError: If variables or dimensions are missing, times do not increase, a dtype is not floating
            point, there are no paths or frames, or another number of particles.
    """
    stored = stored_variables(process)
    wanted = [item.variable.name for item in stored]
    missing = [name for name in wanted if name not in trajectories.data_vars]
    if missing:
        raise DataFileError(
            f"trajectories lack the variables {missing} of {type(process).__name__}; "
            f"they hold {list(trajectories.data_vars)}."
        )
    chosen = trajectories[wanted]
    for name, item in zip(wanted, stored, strict=True):
        if set(chosen[name].dims) != set(item.dimensions):
            expected = " and ".join(item.dimensions)
            raise DataFileError(f"variable {name!r} must have dimensions {expected}; it has {chosen[name].dims}.")
        if chosen[name].dtype not in (np.float32, np.float64):
            raise DataFileError(f"variable {name!r} must be float32 or float64; it is {chosen[name].dtype}.")
    if "time" not in trajectories.coords:
        raise DataFileError("trajectories have no `time` coordinate.")
    if min(chosen.sizes["path"], chosen.sizes["time"]) == 0:
        raise DataFileError(f"trajectories are empty: sizes {dict(chosen.sizes)}.")
    particles = process.dimension // len(stored)
    if chosen.sizes.get("particle", particles) != particles:
        raise DataFileError(
            f"trajectories must hold {particles} particles as {type(process).__name__} does; "
            f"they hold {chosen.sizes['particle']}."
        )
    steps = np.diff(np.asarray(chosen["time"].values, dtype=np.float64))
    if not np.all(steps > 0):
        raise DataFileError(f"`time` must increase; it does not at index {int(np.argmin(steps > 0)) + 1}.")
    return chosen.transpose("path", "time", ...)


def frames(process: Process, trajectories: xr.Dataset, dtype: torch.dtype = torch.float32) -> Tensor:
    """Load states as one tensor.

    Arguments:
        process: The process whose variables are read.
        trajectories: Trajectory Dataset, or a selection of one.
        dtype: Precision of the result.

    Returns:
        Shape ``(time, path, component)``.

    Raises:
        DataFileError: If the Dataset does not fit the process.
        NumericalError: If a state is not finite; the first bad time and path are named.
    """
    chosen = validated_trajectories(process, trajectories)
    paths = chosen.sizes["path"]
    states = torch.empty(chosen.sizes["time"], paths, process.dimension, dtype=dtype)
    # Some paths at a time, so that of all that is read on the way only a part lies beside the states.
    few, good = max(1, NUMBERS_AT_ONCE // (len(states) * process.dimension)), True
    for first in range(0, paths, few):
        part, loaded = states[:, first : first + few], chosen.isel(path=slice(first, first + few)).load()
        for item in stored_variables(process):
            values = loaded[item.variable.name].values
            columns = values.reshape(*values.shape[:2], -1).swapaxes(0, 1)
            part[..., item.components] = torch.from_numpy(np.ascontiguousarray(columns))
        good = good and bool(torch.isfinite(part).all())
    if not good:
        finite = torch.isfinite(states).all(-1)
        frame, path = (int(i) for i in (~finite).nonzero()[0])
        raise NumericalError(
            f"{int((~finite).sum())} states are not finite, "
            f"first at time {float(chosen.time[frame]):g}, path index {path}."
        )
    return states


def component(process: Process, trajectories: xr.Dataset, index: int) -> xr.DataArray:
    """Return one component of the state from a Dataset.

    Arguments:
        process: The process whose component is wanted.
        trajectories: Trajectory Dataset, or a selection of one.
        index: Index of the component.

    Returns:
        The component with dimensions ``path`` and ``time``, named as the process names it.
    """
    item = next(item for item in stored_variables(process) if item.components.start <= index < item.components.stop)
    values = trajectories[item.variable.name]
    if "particle" in item.dimensions:
        values = values.isel(particle=index - item.components.start, drop=True)
    return values.rename(process.variables[index].name)


def _axes_reversed(block: NDArray[Any], axes: int) -> NDArray[Any]:
    """Return (component, time, path) as a view on (path, time) or (path, time, particle)."""
    return block[0].T if axes == 2 else block.T
