"""Joining the results of the cells of a study into one Dataset with the axes as dimensions.

Whatever the comparisons hold is joined: every variable gets the dimensions of the axes in front of its own, and along
its own ones the coordinates of all cells together.
"""

import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from physcore.errors import DataFileError
from physcore.storage.manifest import versions
from physcore.storage.netcdf import read_dataset
from physcore.storage.run import RunFolder
from physcore.study.axes import Axis
from physcore.study.folder import StudyFolder
from physcore.study.grid import Cell, Grid

__all__ = ["STATES", "joined_study"]

STATES = ("not_run", "finished", "failed")
SAME_TIME = 1e-9  # relative difference within which two coordinates are one and the same
LAST_OF_FIT = {
    "training_time": ("elapsed", "time spent training", "s"),
    "training_steps": ("step", "optimiser steps", "1"),
    "validation_loss": ("validation_loss", "last loss on held-out paths", "1"),
    "validation_standard_error": ("validation_standard_error", "standard error of validation_loss", "1"),
}

Results = list[tuple[tuple[int, ...], xr.Dataset]]


def joined_study(
    grid: Grid, folder: StudyFolder, finished: Sequence[Cell], failed: Sequence[str]
) -> tuple[xr.Dataset, list[tuple[Cell, DataFileError]]]:
    """Return the results of a study.

    Arguments:
        grid: The grid of the study.
        folder: Its directory.
        finished: Cells whose manifests say that they are finished.
        failed: Names of cells that failed.

    Returns:
        Dataset with a dimension for each axis and those of the comparisons: all variables of ``compare``, such as the
        relative score error ``value`` with its ``standard_error``; ``training_time`` and what else the fit ended
        with; ``state``, 0 for a cell that was not run, 1 for one that is finished and 2 for one that failed; and
        ``directory``, the name of its run directory. What a cell does not have is NaN, and text is empty. Keys that
        vary along an axis are coordinates along it. And the cells whose files cannot be read, which count as failed.
    """
    damaged: list[tuple[Cell, DataFileError]] = []
    results: Results = []
    for cell in finished:
        try:
            results.append((cell.index, _result(folder.cell(cell.name))))
        except DataFileError as error:
            damaged.append((cell, error))
    state = np.zeros(grid.shape, dtype=np.int8)
    directory = np.full(grid.shape, "", dtype=object)
    bad = {*failed, *(cell.name for cell, _ in damaged)}
    done = {cell.name for cell in finished}
    for cell in grid.cells():
        directory[cell.index] = cell.name
        state[cell.index] = STATES.index(
            "failed" if cell.name in bad else "finished" if cell.name in done else "not_run"
        )
    dims = tuple(axis.name for axis in grid.axes)
    flags = {"flag_values": np.arange(len(STATES), dtype=np.int8), "flag_meanings": " ".join(STATES)}
    joined = _joined(dims, grid.shape, results).assign(
        state=(dims, state, {"long_name": "state of the cell", **flags}),
        directory=(dims, directory, {"long_name": "run directory of the cell"}),
    )
    for axis in grid.axes:
        joined = joined.assign_coords(_coordinates(axis))
    return joined.assign_attrs(_attributes(grid, folder, results)), damaged


def _result(folder: RunFolder) -> xr.Dataset:
    """Return the comparison of a run and what its fit ended with, as far as the run goes."""
    stages = folder.manifest.stages
    result = read_dataset(folder.comparison) if "compare" in stages else xr.Dataset()
    if "fit" in stages and folder.history.exists():
        history = read_dataset(folder.history)
        if history.sizes.get("step"):
            for name, (column, text, units) in LAST_OF_FIT.items():
                value = float(history[column].values[-1])
                result[name] = ((), value, {"long_name": text, "units": units})
    return result


def _joined(dims: tuple[str, ...], shape: tuple[int, ...], results: Results) -> xr.Dataset:
    """Return one Dataset with the axes in front."""
    results = [(index, _renamed(dims, result)) for index, result in results]
    inner: dict[Hashable, NDArray[Any]] = {}
    for dim in dict.fromkeys(dim for _, result in results for dim in result.dims):
        inner[dim] = _union([result[dim].values for _, result in results if dim in result.dims])
    places = [{dim: _places(inner[dim], result[dim].values) for dim in result.dims} for _, result in results]
    joined = xr.Dataset()
    for dim, values in inner.items():
        attributes = _agreed([result[dim].attrs for _, result in results if dim in result.dims])
        joined = joined.assign_coords({dim: (dim, values, attributes)})
    for name in dict.fromkeys(name for _, result in results for name in result.variables if name not in inner):
        having = [
            (index, result[name], place)
            for (index, result), place in zip(results, places, strict=True)
            if name in result.variables
        ]
        own = tuple(dict.fromkeys(dim for _, variable, _ in having for dim in variable.dims))
        numbers = all(variable.dtype.kind in "fiub" for _, variable, _ in having)
        sizes = (*shape, *(len(inner[dim]) for dim in own))
        values = np.full(sizes, np.nan) if numbers else np.full(sizes, "", dtype=object)
        for index, variable, place in having:
            values[_slots(index, own, place, inner)] = _spread(variable, own)
        joined[name] = ((*dims, *own), values, _agreed([variable.attrs for _, variable, _ in having]))
    return joined


def _renamed(dims: Sequence[str], result: xr.Dataset) -> xr.Dataset:
    """Return a result without the names of the axes, which a comparison may come to use for something else."""
    taken = [name for name in {*result.variables, *result.dims} if name in dims]
    return result.rename({name: f"{name}_of_run" for name in taken})


def _union(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Return all coordinates: numbers in increasing order, those that differ by rounding once, text as it comes."""
    together = np.concatenate(parts)
    if together.dtype.kind not in "fiu":
        return np.array(list(dict.fromkeys(map(str, together))), dtype=object)
    ordered = np.unique(together)
    new = np.diff(ordered) > SAME_TIME * np.maximum(1, np.abs(ordered[1:]))
    return ordered[np.concatenate([[True], new])] if len(ordered) else ordered


def _places(union: NDArray[Any], values: NDArray[Any]) -> NDArray[np.intp]:
    """Return where the coordinates of one result lie among all."""
    if union.dtype.kind in "fiu":
        places: NDArray[np.intp] = np.abs(union - values[:, None]).argmin(1)
        return places
    known = {value: place for place, value in enumerate(union)}
    return np.array([known[str(value)] for value in values], dtype=np.intp)


def _slots(
    index: tuple[int, ...],
    own: Sequence[Hashable],
    place: Mapping[Hashable, NDArray[np.intp]],
    inner: Mapping[Hashable, NDArray[Any]],
) -> tuple[Any, ...]:
    """Return where a result's variable goes; a dimension that it lacks is filled with it from end to end."""
    slots = np.ix_(*(place.get(dim, np.arange(len(inner[dim]))) for dim in own))
    return (*index, *slots)


def _spread(variable: xr.DataArray, own: Sequence[Hashable]) -> NDArray[Any]:
    """Return the values with all dimensions of a variable, of length one where it lacks one."""
    present = variable.transpose(*(dim for dim in own if dim in variable.dims))
    array: NDArray[Any] = present.values.reshape([present.sizes.get(dim, 1) for dim in own])
    return array


def _agreed(attributes: list[dict[Any, Any]]) -> dict[Any, Any]:
    """Return the attributes that are the same in all."""
    first = attributes[0] if attributes else {}
    return {
        key: value
        for key, value in first.items()
        if all(key in other and np.array_equal(other[key], value) for other in attributes)
    }


def _coordinates(axis: Axis) -> dict[str, xr.Variable]:
    """Return the labels of an axis, and what varies along it where the labels do not say so."""
    labels = np.array(axis.labels, dtype=None if axis.numeric else object)
    coordinates = {axis.name: xr.Variable((axis.name,), labels, {"keys": " ".join(axis.keys)})}
    for key in axis.keys:
        values = [point.get(key) for point in axis.points]
        if key != axis.name and values != list(axis.labels):
            numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
            texts = [
                "" if value is None else value if isinstance(value, str) else json.dumps(value) for value in values
            ]
            column = np.array(values if numbers else texts, dtype=None if numbers else object)
            coordinates[key] = xr.Variable((axis.name,), column, {"long_name": f"setting {key}"})
    return coordinates


def _attributes(grid: Grid, folder: StudyFolder, results: Results) -> dict[str, Any]:
    record = folder.read()
    return {
        **_agreed([result.attrs for _, result in results]),
        "Conventions": "CF-1.11",
        "title": f"study {folder.path.name}",
        "run": json.dumps(grid.run),
        "axes": json.dumps(record["study"]["axes"]),
        "cells": grid.size,
        "versions": json.dumps(versions()),
        "created_at": record["created_at"],
        "history": "\n".join(record["history"]),
    }
