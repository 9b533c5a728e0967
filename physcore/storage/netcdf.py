"""Reading and writing Datasets as netCDF-4; nothing else in the package touches the format."""

import threading
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import xarray as xr

from physcore.errors import DataFileError
from physcore.storage.publishing import publish

__all__ = ["read_dataset", "write_dataset"]

_LIBRARY = threading.Lock()  # HDF5 serves one thread at a time


def write_dataset(dataset: xr.Dataset, path: Path) -> None:
    """Publish a Dataset as netCDF-4, with a checksum on every chunk.

    Arguments:
        dataset: The Dataset.
        path: Final name.

    Raises:
        StorageError: If writing fails; nothing existing is harmed.
    """
    encoding: dict[Hashable, dict[str, Any]] = {
        # A contiguous variable cannot carry a checksum, and flipped bits would read back as good numbers. Nothing is
        # filled beforehand: all of a variable is written.
        name: {"fletcher32": True, "chunksizes": tuple(max(1, n) for n in variable.shape), "_FillValue": None}
        for name, variable in dataset.variables.items()
        if variable.ndim > 0 and variable.dtype.kind in "fiu" and variable.size
    }

    def write(temporary: Path) -> None:
        with _LIBRARY:
            dataset.to_netcdf(temporary, format="NETCDF4", engine="netcdf4", encoding=encoding)

    publish(path, write)


def read_dataset(path: str | Path) -> xr.Dataset:
    """Read a whole Dataset into memory and close the file.

    Arguments:
        path: A netCDF file. Times stay numbers, whatever their units are called.

    Raises:
        DataFileError: If it is missing, truncated, damaged or no netCDF file.
    """
    path = Path(path)
    if not path.is_file():
        raise DataFileError(f"{path}: no such file" if not path.exists() else f"{path}: not a regular file")
    try:
        with _LIBRARY, xr.open_dataset(path, engine="netcdf4", decode_times=False) as dataset:
            return dataset.load()
    except Exception as error:  # a damaged file raises many classes, AttributeError among them
        raise DataFileError(f"{path}: cannot be read as netCDF, truncated or damaged? ({error})") from error
