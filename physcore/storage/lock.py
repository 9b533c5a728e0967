"""One writer at a time in a run directory."""

import contextlib
import json
import os
import socket
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from physcore.communicator import Communicator
from physcore.errors import RunLockedError
from physcore.storage.publishing import sweep

__all__ = ["locked"]

LOCK_NAME = ".lock"


@contextlib.contextmanager
def locked(folder: Path, communicator: Communicator) -> Iterator[None]:
    """Hold a run directory for this job; rank 0 takes the lock for all.

    Arguments:
        folder: The run directory, which exists.
        communicator: The ranks of this job.

    Raises:
        RunLockedError: If another living process holds it; its host and process are named.
    """
    failure: BaseException | None = None
    if communicator.rank == 0:
        try:
            _acquire(folder / LOCK_NAME)
            sweep(folder)
        except OSError as error:
            failure = error
    if failure is not None and communicator.size == 1:
        raise failure
    communicator.agree(failure, "taking the lock")
    try:
        yield
    finally:
        if communicator.rank == 0:
            (folder / LOCK_NAME).unlink(missing_ok=True)


def _acquire(path: Path) -> None:
    holder = {"host": socket.gethostname(), "pid": os.getpid(), **_slurm()}
    prepared = path.with_name(f".partial-lock-{os.getpid()}")
    for _ in range(2):
        try:
            prepared.write_text(json.dumps(holder), encoding="utf-8")
            os.link(prepared, path)  # all of it at once: a kill leaves no lock that does not say whose it is
        except FileExistsError:
            _remove_if_stale(path, holder)
            continue
        finally:
            prepared.unlink(missing_ok=True)
        return
    raise RunLockedError(f"{path.parent} is held by another run")


def _slurm() -> dict[str, Any]:
    """Return which job of SLURM this is, and how often it was started again; nothing outside of one."""
    job, restarts = (os.environ.get(name, "") for name in ("SLURM_JOB_ID", "SLURM_RESTART_COUNT"))
    return {"job": job, "restarts": int(restarts) if restarts.isdigit() else 0} if job else {}


def _remove_if_stale(path: Path, holder: Mapping[str, Any]) -> None:
    try:
        other = json.loads(path.read_text(encoding="utf-8"))
        owner, pid = str(other["host"]), int(other["pid"])
        # A job that SLURM started again, on other hosts perhaps, has ended before.
        again = "job" in holder and other.get("job") == holder["job"] and int(other["restarts"]) < holder["restarts"]
    except (OSError, ValueError, KeyError, TypeError):
        owner, pid, again = "an unknown host", -1, False
    if again or (owner == holder["host"] and pid > 0 and not _alive(pid)):
        warnings.warn(f"taking over {path.parent} from process {pid}, which is dead", stacklevel=4)
        path.unlink(missing_ok=True)
        return
    raise RunLockedError(
        f"{path.parent} is held by process {pid} on {owner}; wait for it, or remove {path} if it is gone"
    )


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
