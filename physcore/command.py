"""The ``physcore`` command: finds a command by its entry point, reads its settings, and runs it.

Commands are found in the entry point group ``physcore.commands``, so a package of the user's can add one. Their modules
import torch and the rest only when they run, which keeps ``--help`` quick.
"""

import abc
import contextlib
import dataclasses
import importlib.metadata
import logging
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, TextIO

from physcore.communicator import Communicator, abort_all, launched_rank, world
from physcore.errors import USAGE_EXIT_CODE, exit_code
from physcore.registry import build, load, names
from physcore.settings import OptionParser, Settings

if TYPE_CHECKING:
    from physcore.process import Process
    from physcore.stopping import StopRequest
    from physcore.storage.run import RunFolder

__all__ = ["Command", "Job", "main"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What a command works with.

    Arguments:
        folder: The run directory.
        settings: Shared settings and sections.
        communicator: The ranks.
        stop: Whether a stop was requested.
        log: Where the command speaks; on stdout when None.
    """

    folder: "RunFolder"
    settings: Settings
    communicator: Communicator
    stop: "StopRequest"
    log: TextIO | None = None

    @contextlib.contextmanager
    def replacing(self) -> "Iterator[Job]":
        """Yield the job itself, or one beside an old run that takes its place when it ends well, if so asked."""
        if not self.settings.overwrite:
            yield self
            return
        from physcore.storage.run import replacing

        once = dataclasses.replace(self.settings, overwrite=False)
        with replacing(self.folder, self.communicator) as folder:
            yield dataclasses.replace(self, folder=folder, settings=once)

    def process(self) -> "Process":
        """Build the process that the settings name.

        Raises:
            ValueError: If none is named, it is unknown, or a parameter is out of range.
        """
        if self.settings.shared.process is None:
            raise ValueError(f"the configuration names no `process`; known: {', '.join(names('physcore.processes'))}.")
        process: Process = build("physcore.processes", self.settings.shared.process, self.settings.shared.parameters)
        return process

    def say(self, text: str) -> None:
        """Print a line, on rank 0 alone."""
        if self.communicator.rank == 0:
            print(text, file=self.log, flush=True)


class Command(abc.ABC):
    """One command of ``physcore``.

    Attributes:
        summary: One line for the help.
        target: What the positional argument means.
        section: Its own section, None for a command that only combines others.
        flags: Flags of its own beside the options of the section, what each does by its name.
    """

    summary: ClassVar[str]
    target: ClassVar[str]
    section: ClassVar[type | None]
    flags: ClassVar[Mapping[str, str]] = MappingProxyType({})

    @abc.abstractmethod
    def base(self, target: str) -> dict[str, Any]:
        """Return the configuration that the positional argument stands for."""

    @abc.abstractmethod
    def run(self, job: Job) -> None:
        """Do the work."""

    def check(self, job: Job) -> None:
        """Refuse settings that cannot work, before any stage of a run begins; what needs data is found later.

        Raises:
            ValueError: If a part is unknown or cannot be built, or settings of two sections disagree.
        """

    def done(self, job: Job) -> bool:
        """Return whether the run directory's manifest says that all that is asked for is there.

        Raises:
            ValueError: If the directory holds something else that may not be replaced; the differences are named.
            DataFileError: If its manifest is damaged.
        """
        return False

    def sections(self, name: str) -> Mapping[str, type]:
        """Return the sections that the command reads, its own unless it combines others."""
        return {} if self.section is None else {name: self.section}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the ``physcore`` command line.

    Arguments:
        arguments: Words after ``physcore``; those of this process when None.

    Returns:
        Exit code: 0 done, 2 usage, 3 data file, 4 numbers, 5 file system, 6 run held by another, 75 stopped and
        saved, 1 a bug of ours.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with _told(words):
            return _dispatch(words)
    except SystemExit as leaving:  # argparse leaves this way after --help
        status = leaving.code if isinstance(leaving.code, int) else USAGE_EXIT_CODE
        if status:
            abort_all(status)
        return status
    except BaseException as error:
        code = exit_code(error)
        if "--debug" in words or code == 1:
            traceback.print_exc()
        rank = launched_rank()
        where = "physcore" if rank is None else f"physcore (rank {rank})"
        print(f"{where}: {_one_line(error)}", file=sys.stderr, flush=True)
        abort_all(code)
        return code


def _one_line(error: BaseException) -> str:
    """Return what an error says, in one line and without the number that the system gives it."""
    text = re.sub(r"^\[Errno \d+\] ", "", str(error)) if isinstance(error, OSError) else str(error)
    return " ".join(text.split()) or type(error).__name__


@contextlib.contextmanager
def _told(words: Sequence[str]) -> Iterator[None]:
    """Show on stderr how things are computed, if so asked."""
    logger = logging.getLogger("physcore")
    handler, level = logging.StreamHandler(sys.stderr), logger.level
    if "--verbose" in words:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _dispatch(words: list[str]) -> int:
    known = names("physcore.commands")
    if not words or words[0] in ("-h", "--help"):
        print(_help(known))
        return 0 if words else USAGE_EXIT_CODE
    if words[0] == "--version":
        print(f"physcore {importlib.metadata.version('physcore')}")
        return 0
    name, rest = words[0], words[1:]
    command: Command = load("physcore.commands", name)()
    parser = OptionParser(name, command.summary, command.target, command.sections(name), command.flags)
    target = parser.target(rest)
    communicator = world()
    if communicator.rank > 0:
        # What rank 0 imports to read the files is imported meanwhile, and not when it is done.
        importlib.import_module("physcore.storage.run")
    # Rank 0 reads the files, so that all ranks work on the same settings whatever happens to the files meanwhile.
    settings = parser.settings(rest, communicator.broadcast(command.base(target) if communicator.rank == 0 else None))
    if parser.prints_config(rest):
        if communicator.rank == 0:
            print(settings.yaml(), end="")
        return 0
    _run(command, target, settings, communicator)
    return 0


def _run(command: Command, target: str, settings: Settings, communicator: Communicator) -> None:
    import torch

    from physcore.stopping import listening
    from physcore.storage.run import RunFolder

    torch.set_num_threads(settings.shared.threads)
    out = settings.shared.out or (target if Path(target).is_dir() else f"runs/{Path(target).stem}")
    with listening() as stop:
        command.run(Job(folder=RunFolder(Path(out)), settings=settings, communicator=communicator, stop=stop))


def _summary(name: str) -> str:
    try:
        summary: str = load("physcore.commands", name).summary
    except ImportError as error:  # of another package: the others can be used all the same
        return f"cannot be imported: {error}"
    return summary


def _help(known: Sequence[str]) -> str:
    width = max(len(name) for name in known)
    lines = [f"  {name:<{width}}  {_summary(name)}" for name in known]
    return "\n".join(
        [
            "usage: physcore COMMAND ... | physcore COMMAND --help | physcore --version",
            "",
            "Simulate stochastic processes, learn their scores, compare them with references.",
            "",
            *lines,
        ]
    )
