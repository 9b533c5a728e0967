"""A solution as a netCDF file, so that a run can keep it.

Tables of different times may have different boxes; their values lie one after the other along ``value``, and
``count``, ``lower`` and ``upper`` say how to cut them.
"""

import json
from pathlib import Path

import numpy as np
import xarray as xr

from analysis.references.grid.cells import Cells
from analysis.references.grid.solution import Solution
from analysis.references.grid.table import LogDensityTable
from physcore.process import Process
from physcore.storage.netcdf import read_dataset, write_dataset

__all__ = ["read_solution", "write_solution"]

SCHEMA = "physcore Fokker-Planck solution 1"


def identity(process: Process) -> dict[str, str]:
    """Return what says which process a solution belongs to."""
    parameters = json.dumps(process.parameters, default=repr, sort_keys=True)
    return {
        "process": type(process).__qualname__,
        "parameters": parameters,
        "variables": " ".join(variable.name for variable in process.variables),
    }


def write_solution(path: Path, process: Process, solution: Solution, options: str) -> None:
    """Publish a solution; see ``write_dataset``.

    Arguments:
        path: Final name.
        process: The process it belongs to.
        solution: The solution.
        options: The options it was made with, as JSON.
    """
    times = sorted(solution.tables)
    tables = [solution.tables[time] for time in times]
    each = ("time", "component")
    dataset = xr.Dataset(
        {
            "log_density": ("value", np.concatenate([table.logarithm.ravel() for table in tables])),
            "count": (each, np.array([table.cells.counts for table in tables])),
            "lower": (each, np.array([table.cells.lower for table in tables])),
            "upper": (each, np.array([table.cells.upper for table in tables])),
            "mass": ("time", np.array([table.mass for table in tables])),
            "score_norm": (each, np.stack([solution.norms[time] for time in times])),
            "score_error": (each, np.stack([solution.errors[time] for time in times])),
        },
        {"time": times, "component": [variable.name for variable in process.variables]},
        {
            "schema": SCHEMA,
            **identity(process),
            "options": options,
            "cells": list(solution.counts),
            "step": solution.step,
            "edge": solution.edge,
            "periodic": [int(closed) for closed in tables[0].cells.periodic],
        },
    )
    write_dataset(dataset, path)


def read_solution(path: Path, process: Process) -> tuple[Solution, str]:
    """Read a solution and its options back.

    Raises:
        ValueError: If the file holds something else or the solution of another process.
        DataFileError: If the file is missing or damaged.
    """
    dataset = read_dataset(path)
    if dataset.attrs.get("schema") != SCHEMA:
        raise ValueError(f"{path} is not a {SCHEMA!r} file; its schema is {dataset.attrs.get('schema')!r}.")
    for key, expected in identity(process).items():
        if dataset.attrs.get(key) != expected:
            raise ValueError(f"{path} holds another {key}: {dataset.attrs.get(key)!r} instead of {expected!r}.")
    tables, start = {}, 0
    periodic = tuple(bool(closed) for closed in np.atleast_1d(dataset.attrs.get("periodic", [])))
    values = dataset["log_density"].values
    for k, time in enumerate(dataset["time"].values.tolist()):
        counts = tuple(int(count) for count in dataset["count"].values[k])
        lower, upper = (tuple(dataset[name].values[k].tolist()) for name in ("lower", "upper"))
        cells = Cells(lower=lower, upper=upper, counts=counts, periodic=periodic)
        size = int(np.prod(counts))
        part = np.asarray(values[start : start + size], dtype=np.float32).reshape(counts)
        tables[time] = LogDensityTable(cells, part, float(dataset["mass"].values[k]))
        start += size
    norms, errors = (
        dict(zip(tables, np.asarray(dataset[name].values, dtype=np.float64), strict=True))
        for name in ("score_norm", "score_error")
    )
    cells_attribute = tuple(int(count) for count in np.atleast_1d(dataset.attrs["cells"]))
    solution = Solution(
        tables, norms, errors, cells_attribute, float(dataset.attrs["step"]), float(dataset.attrs["edge"])
    )
    return solution, str(dataset.attrs["options"])
