"""The command ``report``."""

import dataclasses
from typing import Any, ClassVar

from analysis.report.destination import REPORT_NAME, check_replaceable, check_report_name
from physcore.command import Command, Job
from physcore.score.command import base_of_run, check_same_process

__all__ = ["Report", "ReportCommand"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """What to write of a run.

    Arguments:
        file: Name of the page in the run directory; none is written when null.
    """

    file: str | None = REPORT_NAME

    def __post_init__(self) -> None:
        if self.file is not None:
            check_report_name(self.file)


class ReportCommand(Command):
    """Write one page about a run, for a browser: figures, tables, configuration and provenance."""

    summary: ClassVar[str] = "write one self-contained HTML page about a run"
    target: ClassVar[str] = "A run directory, finished or not."
    section: ClassVar[type | None] = Report

    def base(self, target: str) -> dict[str, Any]:
        """Return the configuration of a run directory."""
        return base_of_run(target)

    def check(self, job: Job) -> None:
        """Refuse to write over what is no report of this run."""
        from physcore.storage.manifest import MANIFEST_NAME

        file = job.settings.sections["report"].file
        if file is not None and (job.folder.path / MANIFEST_NAME).exists():
            check_replaceable(job.folder.path / file, job.folder.manifest)

    def run(self, job: Job) -> None:
        """Write the page, on rank 0."""
        from analysis.report.writing import write_report

        file = job.settings.sections["report"].file
        if file is None:
            job.say("report: none asked for")
            return
        check_same_process(job)
        if job.communicator.rank == 0:
            write_report(job.folder.path, file)
        job.communicator.barrier()
        job.say(f"report: {job.folder.path / file}")
