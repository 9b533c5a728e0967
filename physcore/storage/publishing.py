"""Publishing files whole: written aside, synced to disk, then renamed into place.

A final name appears only when its file is complete, and a kill at any moment leaves at most a temporary file, which
the next holder of the directory sweeps away.
"""

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from physcore.errors import StorageError

__all__ = [
    "checksum",
    "free_space_checked",
    "publish",
    "publish_text",
    "put_in_place",
    "sweep",
    "written_aside",
]

TEMPORARY_PREFIX = ".partial-"


def publish(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file aside and rename it into place.

    Arguments:
        path: Final name; its folder exists.
        write: Writes the content to the path it is given.

    Raises:
        StorageError: If the disk is full or writing fails; what stood under the final name is unharmed.
    """
    put_in_place(written_aside(path, write), path)


def written_aside(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file beside its final name and return where; the first half of ``publish``."""
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}")
    with _removed_on_failure(temporary, path):
        write(temporary)
    return temporary


def put_in_place(temporary: Path, path: Path) -> None:
    """Bring a file that was written aside to the disk and rename it into place; the second half of ``publish``."""
    with _removed_on_failure(temporary, path):
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)


@contextlib.contextmanager
def _removed_on_failure(temporary: Path, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(error.errno, _explain(path, error)) from error
    except RuntimeError as error:  # how HDF5 and torch report that the disk would take no more
        temporary.unlink(missing_ok=True)
        free = shutil.disk_usage(path.parent).free
        raise StorageError(errno.EIO, f"cannot write {path}, disk full? {free / 1e6:.0f} MB free: {error}") from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def publish_text(path: Path, text: str) -> None:
    """Publish a text file in UTF-8; see ``publish``."""
    publish(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path) -> None:
    """Remove temporary files that a killed run left; only the holder of the folder's lock may call this."""
    for leftover in folder.rglob(f"{TEMPORARY_PREFIX}*"):
        leftover.unlink(missing_ok=True)


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def free_space_checked(folder: Path, needed: int) -> None:
    """Refuse work whose files would not fit on the disk.

    Arguments:
        folder: An existing folder on the disk.
        needed: Bytes that will be written.

    Raises:
        StorageError: If less is free.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StorageError(
            errno.ENOSPC, f"{folder}: the run needs {needed / 1e6:,.0f} MB and {free / 1e6:,.0f} MB are free"
        )


def _explain(path: Path, error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        free = shutil.disk_usage(path.parent).free
        return f"no space left for {path}: {free / 1e6:.0f} MB free"
    return f"cannot write {path}: {error.strerror or error}"
