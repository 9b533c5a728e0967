"""The directory of a study.

STUDY/study.json      what was asked for, by which versions, and when
STUDY/cells/NAME/     the run directory of each cell
STUDY/logs/NAME.txt   what each run said
STUDY/failures/       one file with the traceback of each cell that failed, until it succeeds
STUDY/study.nc        the results of all cells, joined
STUDY/figures/
"""

import dataclasses
import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from physcore.errors import DataFileError
from physcore.storage.manifest import now, versions
from physcore.storage.publishing import publish_text
from physcore.storage.run import RunFolder
from physcore.study.study import Study

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["StudyFolder", "open_study", "this_process"]

RECORD_NAME = "study.json"
FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True)
class StudyFolder:
    """Names and files of a study's directory.

    Arguments:
        path: The directory.
    """

    path: Path

    @property
    def record(self) -> Path:
        """What was asked for."""
        return self.path / RECORD_NAME

    @property
    def cells(self) -> Path:
        """The folder of the run directories."""
        return self.path / "cells"

    @property
    def joined(self) -> Path:
        """The results of all cells."""
        return self.path / "study.nc"

    @property
    def figures(self) -> Path:
        """The folder of the figures."""
        return self.path / "figures"

    def cell(self, name: str) -> RunFolder:
        """Return the run directory of a cell."""
        return RunFolder(self.cells / name)

    def log(self, name: str) -> Path:
        """Return the file of what a cell said."""
        return self.path / "logs" / f"{name}.txt"

    def failure(self, name: str) -> Path:
        """Return the file that is there when the last attempt at a cell failed."""
        return self.path / "failures" / f"{name}.txt"

    def others(self, names: set[str]) -> list[str]:
        """Return the names of run directories that are not among these names, sorted."""
        found = self.cells.iterdir() if self.cells.is_dir() else ()
        return sorted(path.name for path in found if path.name not in names and not path.name.startswith("."))

    def claim(self) -> None:
        """Make the directory.

        Raises:
            NotADirectoryError: If a file has its name.
            ValueError: If it holds something else than a study.
        """
        path = self.path
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(20, f"`out` = {path} is a file; name a directory")
        if path.is_dir() and not self.record.exists() and any(item.name[0] != "." for item in path.iterdir()):
            raise ValueError(f"`out` = {path} holds other files and no study; name a new or empty directory.")
        for folder in (self.cells, self.path / "logs", self.path / "failures"):
            folder.mkdir(parents=True, exist_ok=True)

    def read(self) -> dict[str, Any]:
        """Return the record.

        Raises:
            DataFileError: If there is none, or it is damaged or of another format.
        """
        if not self.record.is_file():
            raise DataFileError(f"{self.path} is no study: it has no {RECORD_NAME}")
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
            version, complete = record["format_version"], {"study", "ranks", "history", "created_at"} <= record.keys()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataFileError(f"{self.record} is damaged: {error}") from error
        if version != FORMAT_VERSION or not complete:
            raise DataFileError(f"{self.record} has format version {version}; this package reads {FORMAT_VERSION}")
        return dict(record)

    def begin(self, study: Study, ranks: list[dict[str, Any]]) -> dict[str, Any]:
        """Write what is asked for now, after what was done before; return the record.

        Cells that ranks of an earlier attempt held are set free: whoever holds the lock of the study knows that the
        attempt is over, on whatever host it was.

        Arguments:
            study: The study.
            ranks: Host and process of every rank.
        """
        moment = now()
        before = self.read() if self.record.exists() else {"created_at": moment, "history": [], "ranks": []}
        for lock in self.cells.glob("*/.lock"):
            if _holder(lock) in before["ranks"]:
                lock.unlink(missing_ok=True)
        record = {
            "study": dataclasses.asdict(study),
            "ranks": ranks,
            "created_at": before["created_at"],
            "history": [*before["history"], f"{moment} {study.grid.size} cells on {len(ranks)} ranks"],
            "versions": versions(),
            "format_version": FORMAT_VERSION,
        }
        publish_text(self.record, json.dumps(record, indent=1, allow_nan=False))
        return record


def this_process() -> dict[str, Any]:
    """Return the host and the process of this rank, as locks name them."""
    return {"host": socket.gethostname(), "pid": os.getpid()}


def _holder(lock: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(lock.read_text(encoding="utf-8"))
        return {"host": found["host"], "pid": found["pid"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def open_study(path: str | Path) -> "xr.Dataset":
    """Read the joined results of a study.

    Arguments:
        path: A directory that ``physcore study`` made.

    Returns:
        The Dataset that ``joined_study`` describes.

    Raises:
        DataFileError: If it is no study, or none of its cells has been joined yet.
    """
    from physcore.storage.netcdf import read_dataset

    folder = StudyFolder(Path(path))
    folder.read()
    return read_dataset(folder.joined)
