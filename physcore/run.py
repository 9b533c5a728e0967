"""The command ``run``: simulate, fit and compare, each stage where the last attempt left it."""

from collections.abc import Mapping
from typing import Any, ClassVar

from physcore.command import Command, Job
from physcore.configuration import target_run
from physcore.registry import load

__all__ = ["RunCommand"]

STAGES = ("simulate", "fit", "compare")


class RunCommand(Command):
    """Simulate, fit and compare; what is done already is not done again."""

    summary: ClassVar[str] = "simulate a process, learn its score and compare it with references"
    target: ClassVar[str] = "Name of a process, or a YAML file."
    section: ClassVar[type | None] = None

    def base(self, target: str) -> dict[str, Any]:
        """Return the default run of a process, or what a file makes of it."""
        return target_run(target)

    def sections(self, name: str) -> Mapping[str, type]:
        """Return the sections of all stages."""
        return {stage: load("physcore.commands", stage).section for stage in STAGES}

    def run(self, job: Job) -> None:
        """Run the stages in order; with ``--overwrite`` beside an old run, which is replaced at the end."""
        commands = [load("physcore.commands", stage)() for stage in STAGES]
        for command in commands:
            command.check(job)
        with job.replacing() as fresh:
            for command in commands:
                command.run(fresh)
