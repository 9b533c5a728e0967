"""Reading and writing Datasets as netCDF-4; nothing else in the package touches the format."""

import contextlib
import threading
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import netCDF4
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends.locks import HDF5_LOCK

from physcore.errors import DataFileError
from physcore.storage.publishing import publish, put_in_place, written_aside

__all__ = [
    "dataset_aside",
    "read_dataset",
    "read_groups",
    "read_head",
    "read_tree",
    "read_variable",
    "write_dataset",
    "write_tree",
]

CHUNK_BYTES = 2**18

# HDF5 serves one thread at a time. What goes past xarray holds xarray's own lock too, which it takes for itself.
_LIBRARY = threading.Lock()


def write_dataset(dataset: xr.Dataset, path: Path) -> None:
    """Publish a Dataset as netCDF-4, with a checksum on every chunk.

    Arguments:
        dataset: The Dataset.
        path: Final name.

    Raises:
        StorageError: If writing fails; nothing existing is harmed.
    """
    put_in_place(dataset_aside(dataset, path), path)


def dataset_aside(dataset: xr.Dataset, path: Path) -> Path:
    """Write a Dataset as ``write_dataset`` does, but beside its final name; return where, for ``put_in_place``."""
    numbers = all(variable.ndim and variable.dtype.kind in "fiu" for variable in dataset.variables.values())
    write = _write_numbers if numbers else _write_anything

    def write_alone(temporary: Path) -> None:
        with _LIBRARY:
            write(dataset, temporary)

    return written_aside(path, write_alone)


def write_tree(tree: xr.DataTree, path: Path) -> None:
    """Publish a tree of Datasets as groups of one netCDF-4 file, compressed, with a checksum on every chunk.

    Arguments:
        tree: The tree.
        path: Final name.

    Raises:
        StorageError: If writing fails; nothing existing is harmed.
    """
    own = {node.path: _encoding(node.to_dataset(inherit=False)) for node in tree.subtree}
    packed = {"zlib": True, "complevel": 1}
    encoding = {group: {name: kept | packed for name, kept in parts.items()} for group, parts in own.items()}

    def write_alone(temporary: Path) -> None:
        with _LIBRARY:
            tree.to_netcdf(temporary, format="NETCDF4", engine="netcdf4", encoding=encoding)

    publish(path, write_alone)


def _write_numbers(dataset: xr.Dataset, path: Path) -> None:
    """Write arrays of numbers and their attributes, in half the time of the general way."""
    with HDF5_LOCK, netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.setncatts(dataset.attrs)
        for name, size in dataset.sizes.items():
            file.createDimension(str(name), size)
        for name, variable in dataset.variables.items():
            made = file.createVariable(
                str(name),
                variable.dtype,
                tuple(str(dim) for dim in variable.dims),
                fletcher32=variable.size > 0,
                chunksizes=_chunk(variable.shape, variable.dtype.itemsize) if variable.size else None,
                chunk_cache=1,  # a chunk is written as soon as it is full
                fill_value=False,  # all of it is written, nothing is filled beforehand
            )
            made.setncatts(variable.attrs)
        file.set_auto_maskandscale(False)
        for name, variable in dataset.variables.items():  # after all definitions, each of which would be synced
            file[str(name)][...] = variable.values


def _chunk(shape: Sequence[int], item_bytes: int) -> tuple[int, ...]:
    """Return the shape of the chunks of an array: small enough for the cache, whole along the last axes."""
    sizes, room = [], max(1, CHUNK_BYTES // item_bytes)
    for size in reversed(shape):
        sizes.append(min(size, room))
        room = max(1, room // size)
    return tuple(reversed(sizes))


def _write_anything(dataset: xr.Dataset, path: Path) -> None:
    dataset.to_netcdf(path, format="NETCDF4", engine="netcdf4", encoding=_encoding(dataset))


def _encoding(dataset: xr.Dataset) -> dict[Hashable, dict[str, Any]]:
    return {
        # A contiguous variable cannot carry a checksum, and flipped bits would read back as good numbers.
        name: {"fletcher32": True, "chunksizes": tuple(max(1, n) for n in variable.shape)}
        for name, variable in dataset.variables.items()
        if variable.ndim > 0 and variable.dtype.kind in "fiu" and variable.size
    }


def read_dataset(path: str | Path) -> xr.Dataset:
    """Read a whole Dataset into memory and close the file.

    Arguments:
        path: A netCDF file. Times stay numbers, whatever their units are called.

    Raises:
        DataFileError: If it is missing, truncated, damaged or no netCDF file.
    """
    path = Path(path)
    with _reading(path), xr.open_dataset(path, engine="netcdf4", decode_times=False) as dataset:
        return dataset.load()


def read_tree(path: str | Path) -> xr.DataTree:
    """Read all groups of a file into memory and close it.

    Arguments:
        path: A netCDF file. Times stay numbers, whatever their units are called.

    Raises:
        DataFileError: If it is missing, truncated, damaged or no netCDF file.
    """
    path = Path(path)
    with _reading(path), xr.open_datatree(path, engine="netcdf4", decode_times=False) as tree:
        return tree.load()


def read_groups(path: str | Path) -> dict[str, xr.Dataset]:
    """Read every group of a file into memory and close it.

    Arguments:
        path: A netCDF file, with groups or without.

    Returns:
        The Datasets by the path of their group, the root's ``"/"`` first; a group has the coordinates of those above.

    Raises:
        DataFileError: If it is missing, truncated, damaged or no netCDF file.
    """
    path = Path(path)
    with _reading(path):
        groups = xr.open_groups(path, engine="netcdf4", decode_times=False)
        for group in groups.values():
            group.load().close()
    for name, group in groups.items():
        for above in PurePosixPath(name).parents:  # the nearest first
            known = groups[str(above)].coords.items()
            groups[name] = groups[name].assign_coords(
                {key: values for key, values in known if key not in groups[name].coords and _fits(values, group)}
            )
    return groups


def _fits(coordinate: xr.DataArray, dataset: xr.Dataset) -> bool:
    return all(dataset.sizes.get(dim) == size for dim, size in coordinate.sizes.items())


def read_head(path: Path, coordinates: Sequence[str]) -> xr.Dataset:
    """Read the attributes and the coordinates of a file, and of its other variables all but the numbers.

    Arguments:
        path: A netCDF file.
        coordinates: Names of the variables that are read.

    Returns:
        The Dataset with zeros for the numbers that are not read, which take no memory.

    Raises:
        DataFileError: If it is missing, truncated, damaged or no netCDF file.
    """
    with _reading(path), HDF5_LOCK, netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        variables = {
            name: (
                found.dimensions,
                found[...] if name in coordinates else np.broadcast_to(np.zeros((), found.dtype), found.shape),
                {key: found.getncattr(key) for key in found.ncattrs()},
            )
            for name, found in file.variables.items()
        }
        attributes = {key: file.getncattr(key) for key in file.ncattrs()}
    present = [name for name in coordinates if name in variables]
    return xr.Dataset(variables, attrs=attributes).set_coords(present)


def read_variable(path: Path, name: str, shape: tuple[int, ...], firsts: Mapping[str, float]) -> NDArray[Any]:
    """Read one variable of a file that is known to hold it.

    Arguments:
        path: A netCDF file.
        name: Name of the variable.
        shape: Its shape.
        firsts: What other variables begin with.

    Raises:
        DataFileError: If the file is missing, truncated, damaged, no netCDF file or not the one that is meant.
    """
    with _reading(path), HDF5_LOCK, netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        there = {key: variable.shape for key, variable in file.variables.items()}
        if there.get(name) != shape or not firsts.keys() <= there.keys():
            raise DataFileError(f"{path} must hold {name!r} of shape {shape} and {[*firsts]}; it holds {there}")
        for other, first in firsts.items():
            found = file.variables[other][0]
            if found != first:
                raise DataFileError(f"{path} belongs elsewhere: its {other!r} begins with {found}, not {first}")
        numbers: NDArray[Any] = file.variables[name][...]
        return numbers


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Hold the library and make every way in which a file can be bad the same error."""
    if not path.is_file():
        raise DataFileError(f"{path}: no such file" if not path.exists() else f"{path}: not a regular file")
    try:
        with _LIBRARY:
            yield
    except DataFileError:
        raise
    except Exception as error:  # a damaged file raises many classes, AttributeError among them
        raise DataFileError(f"{path}: cannot be read as netCDF, truncated or damaged? ({error})") from error
