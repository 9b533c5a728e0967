"""Carrying out the cells of a study on the ranks that there are.

Every cell is a whole run by ranks of its own, one unless said otherwise. A cell that fails is written down and the
others go on. Cells that differ in their comparison alone come after the first of them and begin with its trajectories
and its score.
"""

import contextlib
import dataclasses
import shutil
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from physcore.command import Job
from physcore.communicator import Communicator
from physcore.errors import Stopped, exit_code
from physcore.run import RunCommand
from physcore.stopping import StopRequest
from physcore.storage.manifest import MANIFEST_NAME
from physcore.storage.publishing import publish_text
from physcore.study.claims import claimed
from physcore.study.folder import StudyFolder
from physcore.study.grid import Cell

__all__ = ["Failure", "Outcome", "carry_out"]


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why a cell has no result.

    Arguments:
        cell: Name of the cell.
        reason: The error in one line.
        code: Exit code of its class.
    """

    cell: str
    reason: str
    code: int


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How an attempt at a study ended.

    Arguments:
        finished: Names of the cells that were finished.
        failures: The failures, in the order of the cells.
        stopped: Whether a stop was requested.
    """

    finished: frozenset[str]
    failures: tuple[Failure, ...]
    stopped: bool


def carry_out(
    cells: Sequence[Cell],
    donors: dict[str, Cell],
    folder: StudyFolder,
    job_of: Callable[[Cell], Job],
    *,
    ranks: Communicator,
    world: Communicator,
    stop: StopRequest,
) -> Outcome:
    """Run cells, shared between groups of ranks.

    Arguments:
        cells: The cells, those to try first in front.
        donors: For each trunk the first cell of the grid that has it.
        folder: The study's directory.
        job_of: Makes the job of a cell.
        ranks: Ranks that share a cell with this one.
        world: All ranks.
        stop: Whether a stop was requested.

    Returns:
        What became of the cells, the same on every rank; after a stop all ranks have come to a safe place.
    """
    waves = [[cell for cell in cells if (donors[cell.trunk] is cell) == first] for first in (True, False)]
    finished: set[str] = set()
    failures: list[Failure] = []
    stopped = False
    for wave in waves:
        with _claims(folder, world) as claims:
            for piece in claimed(len(wave), claims, ranks, stop):
                try:
                    failed = _tried(wave[piece], donors, folder, job_of, ranks)
                except Stopped:
                    stopped = True
                    continue  # to ask for the next one, which tells the others to stop as well
                if failed is None:
                    finished.add(wave[piece].name)
                else:
                    failures.append(failed)
            world.barrier()
        stopped = world.any(stopped or stop.requested)
        if stopped:
            break
    order = {cell.name: i for i, cell in enumerate(cells)}
    together = [failure for part in world.gather(failures) for failure in part]
    return Outcome(
        finished=frozenset().union(*world.gather(finished)),
        failures=tuple(sorted(together, key=lambda failure: order[failure.cell])),
        stopped=stopped,
    )


@contextlib.contextmanager
def _claims(folder: StudyFolder, world: Communicator) -> Iterator[Path]:
    """Make a folder for the claims of one wave, the same for all ranks, and remove it."""
    claims = folder.path / world.broadcast(f".claims-{uuid.uuid4().hex}")
    if world.rank == 0:
        for left in folder.path.glob(".claims-*"):
            shutil.rmtree(left, ignore_errors=True)
        claims.mkdir()
    world.barrier()
    try:
        yield claims
    finally:
        if world.rank == 0:
            shutil.rmtree(claims, ignore_errors=True)


def _tried(
    cell: Cell, donors: dict[str, Cell], folder: StudyFolder, job_of: Callable[[Cell], Job], ranks: Communicator
) -> Failure | None:
    """Run a cell; return why it failed, if it did.

    Among several ranks of a cell an error of one leaves the others waiting for it: it is written down and ends the
    job. The next attempt leaves such a cell to the last.
    """
    began = time.monotonic()
    try:
        with folder.log(cell.name).open("a", encoding="utf-8") if ranks.rank == 0 else contextlib.nullcontext() as log:
            job = dataclasses.replace(job_of(cell), log=log)
            _begin_as_donor(cell, donors[cell.trunk], folder, ranks)
            RunCommand().run(job)
    except Stopped:
        raise
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        publish_text(folder.failure(cell.name), text)
        if ranks.size > 1:
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        print(f"{cell.name}: failed: {reason}", flush=True)
        return Failure(cell.name, reason, exit_code(error))
    if ranks.rank == 0:
        folder.failure(cell.name).unlink(missing_ok=True)
        print(f"{cell.name}: done in {time.monotonic() - began:.3g} s", flush=True)
    return None


def _begin_as_donor(cell: Cell, donor: Cell, folder: StudyFolder, ranks: Communicator) -> None:
    """Take over trajectories and score of a cell that has the same ones, if it has them and this one has nothing."""
    mine, other = folder.cell(cell.name), folder.cell(donor.name)
    if ranks.rank == 0 and donor is not cell and not (mine.path / MANIFEST_NAME).exists():
        with contextlib.suppress(ValueError, OSError):  # whatever is wrong with the other one is no matter here
            if "fit" in other.manifest.stages:
                mine.branch(other, "compare")
    ranks.barrier()
