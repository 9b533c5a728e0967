"""The command ``run``: simulate, fit, compare and report, each stage where the last attempt left it."""

from collections.abc import Mapping
from typing import Any, ClassVar

from physcore.command import Command, Job
from physcore.configuration import STAGES, target_run
from physcore.registry import load

__all__ = ["RunCommand"]

REPORT = "report"


class RunCommand(Command):
    """Simulate, fit, compare and report, as far as the configuration goes; what is done is not done again."""

    summary: ClassVar[str] = "simulate a process, learn its score, compare it with references and report"
    target: ClassVar[str] = "Name of a process, or a YAML file; stages without a section there are skipped."
    section: ClassVar[type | None] = None

    def base(self, target: str) -> dict[str, Any]:
        """Return the default run of a process, or what a file makes of it; every run simulates and reports."""
        return {"simulate": {}, REPORT: {}} | target_run(target)

    def sections(self, name: str) -> Mapping[str, type]:
        """Return the sections of all stages, and of the report."""
        return {stage: load("physcore.commands", stage).section for stage in (*STAGES, REPORT)}

    def check(self, job: Job) -> None:
        """Refuse what a stage cannot work with, and a comparison without a fit."""
        stages = _stages(job)
        if "compare" in stages and "fit" not in stages:
            raise ValueError("`compare` needs a learned score; give the run a section `fit`, empty for the defaults.")
        for command in (*stages.values(), *_report(job)):
            command.check(job)

    def done(self, job: Job) -> bool:
        """Return whether every stage is done as it is asked for."""
        return all(command.done(job) for command in _stages(job).values())

    def run(self, job: Job) -> None:
        """Run the stages in order; with ``--overwrite`` beside an old run, which is replaced at the end."""
        self.check(job)
        stages = _stages(job)
        with job.replacing() as fresh:
            for command in stages.values():
                command.run(fresh)
        skipped = [stage for stage in STAGES if stage not in stages]
        if skipped:
            job.say(f"{' and '.join(skipped)}: skipped, the run has no section of that name")
        for report in _report(job):
            report.run(job)


def _stages(job: Job) -> dict[str, Command]:
    """Return the commands of the stages that the settings have, in order."""
    return {stage: load("physcore.commands", stage)() for stage in STAGES if stage in job.settings.sections}


def _report(job: Job) -> list[Command]:
    """Return the command of the report, none for settings without its section, as those of a study's cells are."""
    return [load("physcore.commands", REPORT)()] if REPORT in job.settings.sections else []
