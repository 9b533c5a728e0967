"""The trajectory Dataset: dimensions, coordinates, attributes, and the checks on what comes in.

A trajectory Dataset has dimensions ``path`` and ``time``, one variable for each physical variable of the process with
its ``units`` and ``long_name``, and ``time`` in float64 as t0 + k dt. Creators are strict, readers permissive:
dimensions are found by name, in any order.
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
from physcore.process import Process

__all__ = ["SCHEMA_VERSION", "frames", "trajectory_dataset", "validated_trajectories"]

SCHEMA_VERSION = 1


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
    variables = {
        variable.name: (
            ("path", "time"),
            states[i].T,
            {"units": variable.units, "long_name": variable.long_name or variable.name},
        )
        for i, variable in enumerate(process.variables)
    }
    coordinates = {
        "path": ("path", paths, {"long_name": "index of the path"}),
        "time": (
            "time",
            np.asarray(times, dtype=np.float64),
            {"units": process.time_units, "long_name": "time", "axis": "T"},
        ),
    }
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
        The Dataset's own variables, transposed to ``(path, time)``.

    Raises:
        DataFileError: If variables or dimensions are missing, times do not increase, a dtype is not floating
            point, or there are no paths or frames.
    """
    wanted = [variable.name for variable in process.variables]
    missing = [name for name in wanted if name not in trajectories.data_vars]
    if missing:
        raise DataFileError(
            f"trajectories lack the variables {missing} of {type(process).__name__}; "
            f"they hold {list(trajectories.data_vars)}."
        )
    chosen = trajectories[wanted]
    for name in wanted:
        if set(chosen[name].dims) != {"path", "time"}:
            raise DataFileError(f"variable {name!r} must have dimensions path and time; it has {chosen[name].dims}.")
        if chosen[name].dtype not in (np.float32, np.float64):
            raise DataFileError(f"variable {name!r} must be float32 or float64; it is {chosen[name].dtype}.")
    if "time" not in trajectories.coords:
        raise DataFileError("trajectories have no `time` coordinate.")
    if min(chosen.sizes["path"], chosen.sizes["time"]) == 0:
        raise DataFileError(f"trajectories are empty: sizes {dict(chosen.sizes)}.")
    steps = np.diff(np.asarray(chosen["time"].values, dtype=np.float64))
    if not np.all(steps > 0):
        raise DataFileError(f"`time` must increase; it does not at index {int(np.argmin(steps > 0)) + 1}.")
    return chosen.transpose("path", "time")


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
    chosen = validated_trajectories(process, trajectories).load()
    states = torch.empty(chosen.sizes["time"], chosen.sizes["path"], process.dimension, dtype=dtype)
    for i, variable in enumerate(process.variables):
        states[..., i] = torch.from_numpy(np.ascontiguousarray(chosen[variable.name].values.T))
    finite = torch.isfinite(states).all(-1)
    if not finite.all():
        frame, path = (int(i) for i in (~finite).nonzero()[0])
        raise NumericalError(
            f"{int((~finite).sum())} states are not finite, "
            f"first at time {float(chosen.time[frame]):g}, path index {path}."
        )
    return states
