"""What the comparison of a run wrote, whatever it is: each group of each file as tables, those known here first."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from analysis.report.tables import DatasetTables, dataset_tables
from physcore.storage.manifest import Manifest
from physcore.storage.netcdf import read_groups
from physcore.storage.run import RunFolder

__all__ = ["Results", "results_of", "score_errors"]

KNOWN = {"/": "Score error", "/score": "Score error"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Results:
    """One group of results.

    Arguments:
        title: Its heading.
        file: Where the numbers are.
        about: What its attributes say, by name.
        notes: What a reader must know besides.
        tables: Its numbers.
    """

    title: str
    file: str
    about: Mapping[str, str]
    notes: Sequence[str]
    tables: DatasetTables


def results_of(folder: RunFolder, manifest: Manifest) -> list[Results]:
    """Return the results of a run's comparison.

    Arguments:
        folder: The run directory.
        manifest: Its manifest.

    Raises:
        DataFileError: If a file cannot be read.
    """
    times = times_asked_for(manifest)
    files = [path for path in sorted(folder.path.glob("*.nc")) if path != folder.history and path.name[0] != "."]
    found = []
    for path in sorted(files, key=lambda path: path != folder.comparison):
        groups = read_groups(path)
        for group in sorted(groups, key=lambda group: (group not in KNOWN, list(groups).index(group))):
            if groups[group].data_vars:
                known = path == folder.comparison and group in KNOWN
                title = KNOWN[group] if known else _title(path.stem if group == "/" else group)
                found.append(_results(groups[group], title, f"{path.name}{group.rstrip('/')}", times))
    return found


def times_asked_for(manifest: Manifest) -> list[float]:
    """Return the times that the comparison was asked to show, none if it was left to choose.

    Arguments:
        manifest: Manifest of the run.
    """
    return sorted(manifest.stages.get("compare", {}).get("times") or [])


def score_errors(results: Sequence[Results]) -> list[tuple[str, str]]:
    """Return the last row of each table of score errors, in words, for those who read no further.

    Arguments:
        results: All results.
    """
    facts = []
    for result in results:
        for table in result.tables.shown if result.title == KNOWN["/"] else []:
            if not table.rows:
                continue
            row, cells = table.rows[-1]
            said = [f"{name} {cell}" for name, cell in zip(table.columns[1:], cells, strict=True) if cell]
            said = [text.replace(" ", "\N{NO-BREAK SPACE}") for text in said[:2]]
            facts.append((f"{table.caption}, {table.columns[0]} {row}", "; ".join(said) or "no value"))
    return facts


def _title(name: str) -> str:
    words = " ".join(name.strip("/").replace("/", ": ").replace("_", " ").replace("-", " ").split())
    return words[:1].upper() + words[1:]


def _results(dataset: xr.Dataset, title: str, file: str, times: Sequence[float]) -> Results:
    told = {key: value for key, value in dataset.attrs.items() if key not in ("process", "Conventions")}
    about: dict[str, Any] = {str(key).replace("_", " "): value for key, value in told.items()}
    return Results(
        title=str(about.pop("title", title)),
        file=file,
        about={key: str(value) for key, value in about.items()},
        notes=_own_errors(dataset),
        tables=dataset_tables(dataset, times),
    )


def _own_errors(dataset: xr.Dataset) -> list[str]:
    """Return how far the references themselves can be trusted."""
    if "reference_error" not in dataset or dataset["reference_error"].dims[:1] != ("reference",):
        return []
    notes = []
    for name in dataset["reference"].values:
        known = dataset["reference_error"].sel(reference=name).values
        known = known[np.isfinite(known)]
        said = "not known" if not known.size else f"at most {100 * known.max():.2g} %" if known.max() else "none"
        notes.append(f"Own relative error of the reference {name}: {said}.")
    return notes
