"""Reading and writing Datasets as netCDF-4; nothing else in the package touches the format."""

import threading
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import netCDF4
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
    numbers = all(variable.ndim and variable.dtype.kind in "fiu" for variable in dataset.variables.values())
    write = _write_numbers if numbers else _write_anything

    def write_alone(temporary: Path) -> None:
        with _LIBRARY:
            write(dataset, temporary)

    publish(path, write_alone)


def _write_numbers(dataset: xr.Dataset, path: Path) -> None:
    """Write arrays of numbers and their attributes, in half the time of the general way."""
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.setncatts(dataset.attrs)
        for name, size in dataset.sizes.items():
            file.createDimension(str(name), size)
        for name, variable in dataset.variables.items():
            made = file.createVariable(
                str(name),
                variable.dtype,
                tuple(str(dim) for dim in variable.dims),
                fletcher32=variable.size > 0,
                chunksizes=variable.shape if variable.size else None,
                fill_value=False,  # all of it is written, nothing is filled beforehand
            )
            made.set_auto_maskandscale(False)
            made.setncatts(variable.attrs)
            made[...] = variable.values


def _write_anything(dataset: xr.Dataset, path: Path) -> None:
    encoding: dict[Hashable, dict[str, Any]] = {
        # A contiguous variable cannot carry a checksum, and flipped bits would read back as good numbers.
        name: {"fletcher32": True, "chunksizes": tuple(max(1, n) for n in variable.shape)}
        for name, variable in dataset.variables.items()
        if variable.ndim > 0 and variable.dtype.kind in "fiu" and variable.size
    }
    dataset.to_netcdf(path, format="NETCDF4", engine="netcdf4", encoding=encoding)


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
