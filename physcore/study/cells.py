"""The cells of a study as jobs, and how far each has come."""

import dataclasses
import enum
from collections.abc import Sequence

from physcore.command import Job
from physcore.communicator import Communicator
from physcore.errors import DataFileError
from physcore.run import RunCommand
from physcore.settings import OptionParser, Settings, Shared
from physcore.storage.manifest import MANIFEST_NAME
from physcore.study.folder import StudyFolder
from physcore.study.grid import Cell

__all__ = ["State", "cell_job", "states"]


class State(enum.Enum):
    """How far a cell has come."""

    FINISHED = "finished"
    FAILED = "failed before"
    BEGUN = "begun"
    NEW = "new"
    CHANGED = "to be replaced"


def cell_job(cell: Cell, folder: StudyFolder, job: Job, ranks: Communicator, *, overwrite: bool = False) -> Job:
    """Return the job of one cell, a whole run.

    Arguments:
        cell: The cell.
        folder: The study's directory.
        job: The job of the study.
        ranks: The ranks that share the cell.
        overwrite: Whether an old run in its directory is to be replaced.

    Raises:
        ValueError: If a key is unknown or a value has the wrong type or range.
    """
    command, shared = RunCommand(), job.settings.shared
    parser = OptionParser("run", command.summary, command.target, command.sections("run"))
    settings = parser.settings([cell.name], cell.configuration)
    device = settings.shared.device if shared.device == Shared.device else shared.device
    whole = dataclasses.replace(settings.shared, device=device, threads=shared.threads)
    return Job(
        folder=folder.cell(cell.name),
        settings=Settings(whole, overwrite, settings.sections),
        communicator=ranks,
        stop=job.stop,
    )


def states(cells: Sequence[Cell], folder: StudyFolder, job: Job, ranks: Communicator) -> dict[str, State]:
    """Check every cell before work begins, the checks shared between the ranks; return how far each has come.

    Arguments:
        cells: The cells.
        folder: The study's directory, which may be missing.
        job: The job of the study.
        ranks: The ranks that share a cell with this one.

    Raises:
        ValueError: If a cell cannot work, or its directory holds another run and may not be replaced.
    """
    found: dict[int, str] = {}
    refused: dict[int, str] = {}
    for i in job.communicator.share(len(cells)):
        try:
            made = cell_job(cells[i], folder, job, ranks)
            RunCommand().check(made)
            found[i] = _state(made, folder.failure(cells[i].name).exists(), job.settings.overwrite).name
        except (ValueError, TypeError, NotImplementedError) as error:
            refused[i] = str(error)
    refused = {i: text for part in job.communicator.gather(refused) for i, text in part.items()}
    if refused:
        first = min(refused)
        more = f" ({len(refused)} of {len(cells)} cells cannot be run)" if len(refused) > 1 else ""
        raise ValueError(f"cell {cells[first].name}: {refused[first]}{more}")
    together = {i: name for part in job.communicator.gather(found) for i, name in part.items()}
    return {cell.name: State[together[i]] for i, cell in enumerate(cells)}


def _state(job: Job, failed: bool, replaceable: bool) -> State:
    """Return how far a run directory has come, by its manifest alone."""
    try:
        if RunCommand().done(job):
            return State.FINISHED
    except DataFileError:  # a damaged manifest is this cell's failure, not that of the others
        return State.FAILED
    except ValueError:
        if not replaceable:
            raise
        return State.CHANGED
    if failed:
        return State.FAILED
    return State.BEGUN if (job.folder.path / MANIFEST_NAME).exists() else State.NEW
