"""Joining the segments of a run into one Dataset whose numbers are read when they are asked for.

Blocks and segments form a grid whose edges are known, so that few files are opened beforehand: the first of each time
segment. What is wrong with another one is found when it is read.
"""

import dataclasses
import uuid
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from physcore.errors import DataFileError
from physcore.storage.netcdf import read_head, read_variable

__all__ = ["joined"]

COORDINATES = ("path", "time", "particle")


def joined(file: Callable[[int, int], Path], paths: Sequence[int], segments: int) -> xr.Dataset:
    """Return one Dataset over all blocks and segments.

    Arguments:
        file: The file of a block and a segment.
        paths: Index of the first path of every block, and at the end the number of paths.
        segments: Number of segments of a block.

    Raises:
        DataFileError: If a file that is opened cannot be read, or times do not increase. The same when numbers are
            asked for and their file is missing, damaged or another one.
    """
    heads = [read_head(file(0, segment), COORDINATES) for segment in range(segments)]
    for segment, head in enumerate(heads):
        if "time" not in head.coords or head.sizes.get("path") != paths[1]:
            raise DataFileError(
                f"{file(0, segment)} must hold {paths[1]} paths at their times; it holds {dict(head.sizes)}"
            )
    first, parts = heads[0], [head["time"].values for head in heads]
    coordinates: dict[Hashable, NDArray[Any]] = {"time": np.concatenate(parts), "path": np.arange(paths[-1])}
    if np.any(np.diff(coordinates["time"]) <= 0):
        raise DataFileError(f"{file(0, 0).parent}: the segments do not follow each other in time")
    grid = _Grid(file, {"time": np.cumsum([0, *map(len, parts)]), "path": np.asarray(paths)}, coordinates)
    return xr.Dataset(
        {name: grid.lazy(variable) for name, variable in first.data_vars.items()},
        {**first.coords, **{dim: (dim, values, first[dim].attrs) for dim, values in coordinates.items()}},
        first.attrs,
    )


@dataclasses.dataclass(frozen=True)
class _Grid:
    """Where the paths and the frames of a run lie.

    Arguments:
        file: The file of a block and a segment.
        edges: Index of the first frame of every segment and of the first path of every block, and their numbers.
        coordinates: Times of all frames and indices of all paths.
    """

    file: Callable[[int, int], Path]
    edges: dict[Hashable, NDArray[np.int64]]
    coordinates: dict[Hashable, NDArray[Any]]

    def lazy(self, head: xr.DataArray) -> xr.Variable:
        """Return a variable of all files, one chunk for each, given its head in the first one."""

        def read(block_id: tuple[int, ...]) -> NDArray[Any]:
            place = dict(zip(("path", "time"), block_id, strict=False))
            sizes = {dim: part[place[dim]] if dim in place else part[0] for dim, part in chunks.items()}
            firsts = {str(dim): self.coordinates[dim][self.edges[dim][at]] for dim, at in place.items()}
            shape = tuple(sizes[dim] for dim in head.dims)
            found = read_variable(self.file(place["path"], place["time"]), str(head.name), shape, firsts)
            return found.transpose([head.dims.index(dim) for dim in chunks])

        chunks = {
            dim: tuple(np.diff(self.edges[dim]).tolist()) if dim in self.edges else (size,)
            for dim, size in head.transpose("path", "time", ...).sizes.items()
        }
        lazy = dask.array.map_blocks(  # type: ignore[no-untyped-call]
            read,
            name=f"{head.name}-{uuid.uuid4()}",
            chunks=tuple(chunks.values()),
            dtype=head.dtype,
            meta=np.empty((0,) * head.ndim, head.dtype),
        )
        return xr.Variable(tuple(chunks), lazy, head.attrs)
