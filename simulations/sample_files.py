"""Samples that lie in a file: a table of text, an array of numpy, or variables of netCDF."""

import dataclasses
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from physcore.errors import DataFileError
from physcore.storage.netcdf import read_dataset
from physcore.tables import read_table

__all__ = ["SampleFile"]

Reals = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class SampleFile:
    """The samples of a file.

    Arguments:
        rows: A row for each sample, float64, shape ``(sample, component)``.
        names: Names of the components, identifiers; empty where the file gives none.
        sha256: SHA-256 of the file.
    """

    rows: Reals
    names: tuple[str, ...]
    sha256: str

    @classmethod
    def read(cls, path: str | Path) -> "SampleFile":
        """Read a file.

        Arguments:
            path: A table of text (``.csv``, ``.tsv``, ``.txt``) separated by semicolons, commas or tabs, with a line of
                names or without; an array of numpy (``.npy``) of shape ``(sample, component)``; or netCDF (``.nc``)
                with one variable of these two dimensions, or a variable over one common dimension for each component.

        Raises:
            DataFileError: If the file is missing or damaged, or holds something else.
        """
        path = Path(path)
        if path.suffix not in READERS:
            raise DataFileError(f"{path}: samples are read from files named {', '.join(READERS)}")
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise DataFileError(f"{path}: {error.strerror or error}") from error
        names, rows = READERS[path.suffix](path)
        if rows.ndim != 2 or rows.dtype.kind not in "fiu":
            raise DataFileError(f"{path} must hold numbers, samples by components; it has shape {rows.shape}")
        return cls(rows.astype(np.float64), tuple(map(_identifier, names)), digest)

    def selected(self, names: tuple[str, ...], path: str) -> "SampleFile":
        """Return the columns of some names in their order, all of them when none are given.

        Arguments:
            names: The names; those of all components where the file gives none.
            path: Name of the file, for errors.

        Raises:
            ValueError: If a name is not there.
        """
        if not names or not self.names:
            return dataclasses.replace(self, names=names or self.names)
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise ValueError(f"`names` must be among {', '.join(self.names)}, those of {path}; got {unknown[0]!r}.")
        return dataclasses.replace(self, rows=self.rows[:, [self.names.index(name) for name in names]], names=names)


def _identifier(name: str) -> str:
    """Return a name with what no identifier can have replaced."""
    plain = re.sub(r"\W+", "_", name.strip()).strip("_")
    return plain if plain.isidentifier() else f"x_{plain}"


def _text(path: Path) -> tuple[list[str], Reals]:
    try:
        lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataFileError(f"{path} is no UTF-8 text") from error
    if len(lines) < 2:
        raise DataFileError(f"{path} must hold two or more rows; it has {len(lines)}")
    separator = next((mark for mark in ";,\t" if mark in lines[0]), None)
    try:
        [float(cell) for cell in lines[0].split(separator)]
    except ValueError:
        return read_table(path)
    try:
        return [], np.loadtxt(lines, delimiter=separator, ndmin=2)
    except ValueError as error:
        raise DataFileError(f"{path} is no table of numbers: {error}") from error


def _array(path: Path) -> tuple[list[str], Reals]:
    try:
        loaded: Reals = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataFileError(f"{path} is no array of numpy: {error}") from error
    return [], loaded


def _netcdf(path: Path) -> tuple[list[str], Reals]:
    found = read_dataset(path)
    dims = {str(name): variable.dims for name, variable in found.data_vars.items()}
    values = [np.asarray(found[name].values) for name in dims]
    if len(values) == 1 and values[0].ndim == 2 and "time" not in found.dims:
        return [], values[0]
    if not values or len(set(dims.values())) > 1 or values[0].ndim != 1:
        raise DataFileError(
            f"{path} must have one variable, samples by components, or a variable over one common dimension for each "
            f"component; it has {dims}. Of trajectories write the states of one time."
        )
    return list(dims), np.stack(values, -1)


READERS: dict[str, Callable[[Path], tuple[list[str], Reals]]] = {
    ".csv": _text,
    ".tsv": _text,
    ".txt": _text,
    ".npy": _array,
    ".nc": _netcdf,
}
