"""Datasets of values and standard errors as tables for people, whatever their dimensions are called.

Rows are times, or else the longest dimension; columns are the last of the others that is short enough. There is a table
for each place along the rest. What has too many of them, a field on a grid say, is for figures and is named alone.
"""

import dataclasses
import itertools
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.rounding import rounded

__all__ = ["DatasetTables", "Table", "dataset_tables"]

MOST_COLUMNS = 8
MOST_TABLES = 12  # of one variable
SHOWN_ROWS = 8
MOST_ROWS = 200
ERROR = "standard_error"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A table of text.

    Arguments:
        caption: What it holds.
        columns: Headings, of the rows' own names first.
        rows: The name of each row and its cells, None where there is no value.
        note: What a reader must know besides.
    """

    caption: str
    columns: Sequence[Any]
    rows: Sequence[tuple[Any, Sequence[Any]]]
    note: str = ""


@dataclasses.dataclass(frozen=True)
class DatasetTables:
    """The tables of one Dataset.

    Arguments:
        shown: Variables with standard errors, a few rows of each.
        further: All rows of those that have more, and variables without standard errors.
        untabulated: What has too many values for a table, in words.
    """

    shown: list[Table]
    further: list[Table]
    untabulated: list[str]


def dataset_tables(dataset: xr.Dataset, times: Sequence[float] = ()) -> DatasetTables:
    """Return the tables of a Dataset.

    Arguments:
        dataset: Variables, each with its standard error beside it where it has one: ``standard_error`` of ``value``,
            ``x_standard_error`` of ``x``. Names and units are taken from ``long_name`` and ``units``.
        times: The times to show, as far as they are there; some spread over all when empty.
    """
    tables = DatasetTables([], [], [])
    errors = {name: _error_name(name) for name in map(str, dataset.data_vars) if _error_name(name) in dataset}
    numeric = [str(name) for name, variable in dataset.data_vars.items() if variable.dtype.kind in "fiub"]
    for name in [*errors, *(other for other in numeric if other not in errors)]:
        if name not in numeric or name in errors.values():
            continue
        value, error = dataset[name], dataset[errors[name]] if name in errors else None
        row, column = _axes(value)
        rest = [dim for dim in value.dims if dim not in (row, column)]
        if math.prod(value.sizes[dim] for dim in rest) > MOST_TABLES:
            sizes = " × ".join(f"{size} {dim}" for dim, size in value.sizes.items())
            tables.untabulated.append(f"{_label(value, name)}: {sizes}")
            continue
        for place in itertools.product(*(range(value.sizes[dim]) for dim in rest)):
            at = dict(zip(rest, place, strict=True))
            part = _Part(value.isel(at), None if error is None else error.isel(at), row, column)
            _add(tables, part, _caption(value, name, at), times)
    return tables


def _error_name(name: str) -> str:
    return ERROR if name == "value" else f"{name}_{ERROR}"


def _axes(value: xr.DataArray) -> tuple[Hashable | None, Hashable | None]:
    """Return the dimensions of the rows and of the columns."""
    dims = list(value.dims)
    row = "time" if "time" in dims else max(dims, key=lambda dim: value.sizes[dim], default=None)
    others = [dim for dim in dims if dim != row]
    numbered = [dim for dim in others if value.sizes[dim] > 1] or others
    return row, numbered[-1] if numbered else None


@dataclasses.dataclass(frozen=True)
class _Part:
    """The values of one table and their standard errors, along the rows and the columns, either of which may lack."""

    value: xr.DataArray
    error: xr.DataArray | None
    row: Hashable | None
    column: Hashable | None

    @property
    def rows(self) -> int:
        return 1 if self.row is None else self.value.sizes[self.row]

    @property
    def columns(self) -> int:
        return 1 if self.column is None else self.value.sizes[self.column]

    def table(self, caption: str, rows: Sequence[int]) -> Table:
        """Return the table of some rows."""
        columns = range(min(self.columns, MOST_COLUMNS))
        values, errors = self._numbers(self.value), None if self.error is None else self._numbers(self.error)
        names = ["value"] if self.column is None else [_place(self.value, self.column, j) for j in columns]
        body = []
        for i in rows:
            sigmas = [None if errors is None else errors[i, j] for j in columns]
            cells = [_cell(values[i, j], sigma) for j, sigma in zip(columns, sigmas, strict=True)]
            body.append(("" if self.row is None else _place(self.value, self.row, i), cells))
        left = self.columns - len(columns)
        return Table(
            caption=caption,
            columns=["" if self.row is None else _heading(self.value, self.row), *names],
            rows=body,
            note=f"{left} more along {_word(self.column)} in the file." if self.column is not None and left else "",
        )

    def _numbers(self, array: xr.DataArray) -> NDArray[Any]:
        """Return numbers of shape ``(row, column)``, in percent where people want them so."""
        ordered = array.transpose(*(dim for dim in (self.row, self.column) if dim is not None)).values
        return ordered.reshape(self.rows, self.columns) * (100.0 if _is_relative(self.value) else 1)


def _cell(value: Any, sigma: Any) -> str | None:
    return rounded(float(value), sigma) if isinstance(value, np.floating) else str(value)


def _add(tables: DatasetTables, part: _Part, caption: str, times: Sequence[float]) -> None:
    """Add a part: a few rows where there is a standard error, and all of them further down if there are more."""
    everything = list(range(part.rows))
    some = _chosen(part, times)
    if part.error is not None:
        tables.shown.append(part.table(caption, some))
    if part.error is None or len(some) < len(everything):
        thinned = everything if part.rows <= MOST_ROWS else _spread(part.rows, MOST_ROWS)
        table = part.table(caption if part.error is None else f"{caption}, all rows", thinned)
        thin = f"{len(thinned)} of {part.rows} rows, the others in the file. " if len(thinned) < part.rows else ""
        tables.further.append(dataclasses.replace(table, note=thin + table.note))


def _chosen(part: _Part, times: Sequence[float]) -> list[int]:
    if part.row == "time" and len(times) and "time" in part.value.coords:
        saved = part.value["time"].values
        return sorted({int(np.argmin(np.abs(saved - time))) for time in times})
    return list(range(part.rows)) if part.rows <= SHOWN_ROWS else _spread(part.rows, SHOWN_ROWS)


def _spread(count: int, wanted: int) -> list[int]:
    return [int(index) for index in np.unique(np.linspace(0, count - 1, wanted).round().astype(int))]


def _caption(value: xr.DataArray, name: str, at: Mapping[Hashable, int]) -> str:
    places = [f"{_word(dim)} {_place(value, dim, index)}" for dim, index in at.items()]
    return ", ".join([_label(value, name), *places])


def _label(value: xr.DataArray, name: str) -> str:
    text = str(value.attrs.get("long_name") or _word(name))
    units = "%" if _is_relative(value) else str(value.attrs.get("units", "1"))
    return text[:1].upper() + text[1:] + ("" if units == "1" else f" [{units}]")


def _is_relative(value: xr.DataArray) -> bool:
    """Return whether a number is a part of another one, so that people want it in percent."""
    return value.attrs.get("units", "1") == "1" and "relative" in str(value.attrs.get("long_name", "")).split()


def _heading(value: xr.DataArray, dim: Hashable) -> str:
    attributes = value[dim].attrs if dim in value.coords else {}
    units = str(attributes.get("units", "1"))
    return str(attributes.get("long_name") or _word(dim)) + ("" if units == "1" else f" [{units}]")


def _place(value: xr.DataArray, dim: Hashable, index: int) -> str:
    """Return the name of a place along a dimension: its label, its coordinate, or its number."""
    if dim not in value.coords:
        return str(index)
    label = value[dim].values[index]
    return f"{label:g}".replace("-", "−") if isinstance(label, float | np.floating) else str(label)


def _word(name: Hashable) -> str:
    return str(name).replace("_", " ")
