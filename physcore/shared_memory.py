"""Memory that all ranks of a job on one host have in common: what one of them writes the others read, nothing is sent.

It is a file without a name. Nothing is left behind when a rank is killed, and unlike a window of MPI it needs no last
call of all ranks together: it is gone with the last array that lies in it.
"""

import contextlib
import itertools
import mmap
import os
import platform
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from physcore.communicator import Communicator

__all__ = ["SharedArray", "shared_array"]


class SharedArray:
    """An array that ranks write in parts and read as a whole.

    Parts are written by the system and not through a map of the memory: it hands out many new pages at once then, and
    a first touch of each is dearer than a copy.

    Arguments:
        file: Descriptor of the file.
        shape: Shape of the array.
        dtype: Its precision.
    """

    def __init__(self, file: int, shape: Sequence[int], dtype: DTypeLike) -> None:
        self._file, self._shape, self._dtype = file, tuple(shape), np.dtype(dtype)

    def write(self, values: NDArray[Any], corner: Sequence[int]) -> None:
        """Write a part, visible to all ranks.

        Arguments:
            values: The part, of as many dimensions as the array, contiguous along the last.
            corner: Index of its first element.

        Raises:
            MemoryError: If there is no memory left.
        """
        for index in itertools.product(*map(range, values.shape[:-1])):
            place = tuple(first + step for first, step in zip(corner, (*index, 0), strict=True))
            row = values[index]
            offset = int(np.ravel_multi_index(place, self._shape) * self._dtype.itemsize)
            if os.pwrite(self._file, row, offset) < row.nbytes:
                raise MemoryError(f"no memory left for trajectories of shape {self._shape}")

    def read(self) -> NDArray[Any]:
        """Return what all ranks wrote, once they have; what is changed in it the others never see."""
        size = max(1, int(np.prod(self._shape))) * self._dtype.itemsize
        return np.frombuffer(mmap.mmap(self._file, size, flags=mmap.MAP_PRIVATE), self._dtype).reshape(self._shape)


@contextlib.contextmanager
def shared_array(shape: Sequence[int], dtype: DTypeLike, communicator: Communicator) -> Iterator[SharedArray | None]:
    """Make an array of zeros that the ranks have in common.

    Arguments:
        shape: Its shape, no size of which is 0.
        dtype: Its precision.
        communicator: The ranks; all of them must ask.

    Yields:
        The array, to be read before the context ends and used thereafter; None if the ranks have no memory in common:
        on several hosts, in containers of their own, or on a system without such files.
    """
    file = _made(int(np.prod(shape)) * np.dtype(dtype).itemsize) if communicator.rank == 0 else None
    known = communicator.broadcast(file and (platform.node(), os.getpid(), file, _identity(file)))
    if communicator.rank != 0:
        file = _opened(known)
    try:
        missing = communicator.any(file is None)
        yield None if missing or file is None else SharedArray(file, shape, dtype)
    finally:
        if file is not None:
            os.close(file)


def _made(size: int) -> int | None:
    """Return the descriptor of a new file without a name, None where it cannot be had."""
    try:
        file = os.memfd_create("physcore")
    except (AttributeError, OSError):
        return None
    try:
        os.truncate(file, size)
    except OSError:
        os.close(file)
        return None
    return file


def _opened(known: tuple[str, int, int, tuple[int, int]] | None) -> int | None:
    """Return the descriptor of another process's file, None if it is out of reach."""
    if known is None or known[0] != platform.node():
        return None
    _, process, number, identity = known
    try:
        file = os.open(f"/proc/{process}/fd/{number}", os.O_RDWR)
    except OSError:
        return None
    if _identity(file) == identity:
        return file
    os.close(file)  # in another container the same numbers mean another file
    return None


def _identity(file: int) -> tuple[int, int]:
    found = os.fstat(file)
    return found.st_dev, found.st_ino
