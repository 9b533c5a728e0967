"""A comparison as a short table for people."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from analysis.rounding import rounded

__all__ = ["error_table"]

SUMMARIES = 2  # the full score and its driven components come before the single ones
MOST_COMPONENTS = 4


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
            cells = [_cell(row.sel(selection=selection)) for selection in selections]
            lines.append(_row(f"{float(row['time']):g}", cells))
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def _cell(entry: xr.Dataset) -> str:
    value, error = 100 * float(entry["value"]), 100 * float(entry["standard_error"])
    return rounded(value, error) or "not trained"


def _row(first: str, cells: Sequence[str]) -> str:
    return f"{first:>6}" + "".join(f"{cell:>20}" for cell in cells)
