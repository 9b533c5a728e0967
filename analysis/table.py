"""A comparison as short tables for people."""

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from analysis.rounding import rounded
from physcore.registry import load, names
from physcore.variable import typeset_units

__all__ = ["error_table", "quantity_tables"]

SUMMARIES = 2  # the full score and its driven components come before the single ones
MOST_COMPONENTS = 4
FEW_TIMES = 6
NOTES = ("parity", "method")  # attributes that a number cannot be read without


def error_table(comparison: xr.Dataset, times: Sequence[float]) -> str:
    """Return the relative score errors at some times, in percent with standard errors.

    Arguments:
        comparison: What ``compare`` returned.
        times: Times of the rows.

    Returns:
        A table for each reference; single components are left out where there are many.
    """
    tables = []
    for name in comparison["reference"].values:
        part = comparison.sel(reference=name)
        own = float(part["reference_error"].sel(time=list(times), method="nearest").max())
        known = f"its own error at most {100 * own:.2g} %" if np.isfinite(own) else "its own error unknown"
        selections = [str(selection) for selection in part["selection"].values]
        if len(selections) > SUMMARIES + MOST_COMPONENTS:
            selections = selections[:SUMMARIES]
        lines = [f"relative score error against {name} ({known}), in %", _row("t", selections)]
        for time in times:
            row = part.sel(time=time, method="nearest")
            cells = [_cell(row.sel(selection=selection), 100) for selection in selections]
            lines.append(_row(f"{float(row['time']):g}", cells))
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def quantity_tables(comparison: xr.DataTree, times: Sequence[float]) -> Iterator[str]:
    """Yield a table for each quantity of a comparison: its headline at some times, with standard errors.

    Arguments:
        comparison: What ``evaluate`` returned.
        times: Times of the rows, of a quantity that is known at many; of few all are shown.

    Yields:
        A title, with units and what has to be known to read the numbers, and a row for each entry and time, with a
        column for each score.
    """
    known = names("physcore.quantities")
    for name, node in comparison.children.items():
        if name not in known:
            continue
        group = node.to_dataset()
        quantity = load("physcore.quantities", name)()
        yield _quantity_table(group, quantity.headline(group), times)


def _quantity_table(group: xr.Dataset, headline: xr.Dataset, times: Sequence[float]) -> str:
    units = group["value"].attrs.get("units", "1")
    notes = [
        *([] if units == "1" else [f"in {typeset_units(units)}"]),
        *(group.attrs[key] for key in NOTES if key in group.attrs),
    ]
    title = group["value"].attrs["long_name"] + (f" ({'; '.join(notes)})" if notes else "")
    scores = [str(score) for score in headline["score"].values]
    others = [dim for dim in headline["value"].dims if dim not in ("score", "time")]
    entries = headline.stack(entry=others) if others else headline.expand_dims(entry=[""])
    labels = [entry if isinstance(entry, str) else ", ".join(map(str, entry)) for entry in entries["entry"].values]
    width = max(map(len, labels)) + 2
    lines = [title, _row("t", scores, width * " ")]
    value = entries["value"].transpose("time", ...)
    known = value["time"].values[np.isfinite(value.values).reshape(value.sizes["time"], -1).any(1)]
    for time in known if len(known) <= FEW_TIMES else times:
        row = entries.sel(time=time, method="nearest")
        if not np.isfinite(row["value"]).any():
            continue
        for i, label in enumerate(labels):
            cells = [_cell(row.isel(entry=i).sel(score=score), 1, "-") for score in scores]
            lines.append(_row(f"{float(row['time']):g}", cells, f"{label:>{width}}"))
    return "\n".join(lines)


def _cell(entry: xr.Dataset, factor: float, unknown: str = "not trained") -> str:
    value, error = (factor * float(entry[key]) for key in ("value", "standard_error"))
    return rounded(value, error) or unknown


def _row(first: str, cells: Sequence[str], label: str = "") -> str:
    return f"{first:>6}{label}" + "".join(f"{cell:>20}" for cell in cells)
