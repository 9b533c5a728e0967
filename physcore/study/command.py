"""The command ``study``."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from physcore.command import Command, Job
from physcore.configuration import read_yaml
from physcore.registry import load, names
from physcore.settings import Shared
from physcore.study.study import Study

if TYPE_CHECKING:
    from physcore.communicator import Communicator
    from physcore.study.cells import State
    from physcore.study.execution import Failure
    from physcore.study.folder import StudyFolder
    from physcore.study.grid import Cell, Grid

__all__ = ["StudyCommand"]

GIVEN_BY_RUN = ("process", "parameters", "seed")
SHOWN_FAILURES = 5


class StudyCommand(Command):
    """Run a grid of settings over ranks, and join the results."""

    summary: ClassVar[str] = "run a grid of processes, parameters, seeds and objectives over ranks and join the results"
    target: ClassVar[str] = "A study's YAML file, or the directory of a study."
    section: ClassVar[type | None] = Study
    flags: ClassVar[Mapping[str, str]] = {"list": "Check and show the cells, and stop; nothing is made."}

    def base(self, target: str) -> dict[str, Any]:
        """Return the configuration in a study's file, or that of a study's directory."""
        from physcore.study.folder import StudyFolder

        if Path(target).is_dir():
            return {"study": StudyFolder(Path(target)).read()["study"]}
        if not target.endswith((".yaml", ".yml")):
            raise ValueError(f"{target} must be the YAML file or the directory of a study.")
        settings = read_yaml(Path(target))
        shared = {field.name for field in dataclasses.fields(Shared)}
        study = {key: value for key, value in settings.items() if key not in shared}
        run = study.get("run")
        if isinstance(run, str) and run.endswith((".yaml", ".yml")):
            study["run"] = read_yaml(Path(target).parent / run)
        return {key: value for key, value in settings.items() if key in shared} | {"study": study}

    def run(self, job: Job) -> None:
        """Run what is not finished, join what is, and report what failed."""
        from physcore.study.cells import states
        from physcore.study.folder import StudyFolder

        for name in GIVEN_BY_RUN:
            if getattr(job.settings.shared, name) not in (None, {}):
                raise ValueError(f"`{name}` is not for a study as a whole; set it in `run` or along an axis.")
        study: Study = job.settings.sections["study"]
        ranks = _ranks(study, job.communicator)
        grid, folder = study.grid, StudyFolder(job.folder.path)
        cells = grid.cells()
        found = states(cells, folder, job, ranks)
        counts = collections.Counter(state.value for state in found.values())
        size = " x ".join(f"{axis.name} ({len(axis.labels)})" for axis in grid.axes)
        job.say(f"study: {grid.size} cells = {size}; {', '.join(f'{n} {word}' for word, n in counts.items())}")
        others = folder.others(set(found))
        if others:
            job.say(f"study: {len(others)} run directories are not of this grid and are left alone, {others[0]} first")
        if "list" in job.settings.flags:
            job.say(_table(grid, cells, {name: state.value for name, state in found.items()}))
            return
        _carried_out(study, cells, found, folder, job, ranks)


def _ranks(study: Study, world: "Communicator") -> "Communicator":
    """Return the ranks that share a cell with this one."""
    if world.size % study.ranks_per_cell:
        raise ValueError(
            f"`ranks_per_cell` = {study.ranks_per_cell} must divide the number of ranks; there are {world.size}."
        )
    return world.split(world.rank // study.ranks_per_cell)


def _table(grid: "Grid", cells: "Sequence[Cell]", states: Mapping[str, str]) -> str:
    """Return the cells with their labels, stages and states."""
    stages = names("physcore.commands")
    head = ["cell", *(axis.name for axis in grid.axes), "stages", "state"]
    rows = [head]
    for number, cell in enumerate(cells, 1):
        parts = [stage for stage in cell.configuration if stage in stages]
        rows.append([str(number), *grid.labels(cell).values(), " ".join(parts), states[cell.name]])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _carried_out(
    study: Study,
    cells: "Sequence[Cell]",
    found: "dict[str, State]",
    folder: "StudyFolder",
    job: Job,
    ranks: "Communicator",
) -> None:
    """Run the cells under the lock of the study; join what is finished, also after a stop."""
    from physcore.errors import Stopped
    from physcore.storage.lock import locked
    from physcore.study.cells import State, cell_job
    from physcore.study.execution import carry_out
    from physcore.study.folder import this_process

    world = job.communicator
    here = world.gather(this_process())
    if world.rank == 0:
        folder.claim()
    world.barrier()
    with locked(folder.path, world):
        if world.rank == 0:
            folder.begin(study, here)
        world.barrier()
        wanted = [cell for cell in cells if found[cell.name] is not State.FINISHED]
        # Those that failed come last: what fails again, or even ends the job, does not keep the others waiting.
        wanted.sort(key=lambda cell: found[cell.name] is State.FAILED)
        donors: dict[str, Cell] = {}
        for cell in cells:
            donors.setdefault(cell.trunk, cell)
        outcome = carry_out(
            wanted,
            donors,
            folder,
            lambda cell: cell_job(cell, folder, job, ranks, overwrite=found[cell.name] is State.CHANGED),
            ranks=ranks,
            world=world,
            stop=job.stop,
        )
        failures = list(outcome.failures)
        if world.rank == 0:
            found = found | dict.fromkeys(outcome.finished, State.FINISHED)
            found = found | {failure.cell: State.FAILED for failure in failures}
            failures += _joined(study.grid, cells, found, folder, job)
        world.barrier()
    if outcome.stopped:
        raise Stopped("the study was stopped and saved; run the same command again to continue")
    if world.rank == 0 and failures:
        _report(failures, study.grid.size, folder)


def _joined(
    grid: "Grid", cells: "Sequence[Cell]", found: "dict[str, State]", folder: "StudyFolder", job: Job
) -> "list[Failure]":
    """Publish the joined results and draw the figures; return what failed to be read."""
    from physcore.errors import exit_code
    from physcore.storage.netcdf import write_dataset
    from physcore.study.cells import State
    from physcore.study.execution import Failure
    from physcore.study.joining import joined_study

    finished = [cell for cell in cells if found[cell.name] is State.FINISHED]
    failed = [name for name, state in found.items() if state is State.FAILED]
    study, damaged = joined_study(grid, folder, finished, failed)
    write_dataset(study, folder.joined)
    job.say(f"study: {len(finished) - len(damaged)} of {grid.size} cells are finished -> {folder.joined}")
    for name in names("physcore.study_figures"):
        load("physcore.study_figures", name)(study, folder.figures)
    return [Failure(cell.name, str(error), exit_code(error)) for cell, error in damaged]


def _report(failures: "Sequence[Failure]", cells: int, folder: "StudyFolder") -> None:
    """Raise an error that says which cells failed, and why."""
    from physcore.errors import CellsFailed

    shown = "; ".join(f"{failure.cell}: {failure.reason}" for failure in failures[:SHOWN_FAILURES])
    more = "; ..." if len(failures) > SHOWN_FAILURES else ""
    raise CellsFailed(
        f"{len(failures)} of {cells} cells failed, tracebacks in {folder.path / 'failures'}; "
        f"run the same command again to retry them. {shown}{more}",
        failures[0].code,
    )
