"""Running the command line: in this process where possible, in a child where a process is needed."""

import dataclasses
import hashlib
import multiprocessing
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

import analysis.plots
from physcore.command import main

CHILD = """
import os, sys, time
for number, name in ((1, "stdout"), (2, "stderr")):
    os.dup2(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
from physcore.stopping import StopRequest

def note(name): open(os.path.join(folder, name), "w").close()

def hold():
    while not os.path.exists(os.path.join(folder, "released")): time.sleep(0.005)

def heard(self, number, frame, handle=StopRequest.handle):
    handle(self, number, frame)
    note("heard")

StopRequest.handle = heard
exec(before)
from physcore.command import main
sys.exit(main(words))
"""
HELD_DISK = """
import glob
real = os.fsync
def fsync(handle):
    if len(glob.glob({files!r})) >= {most}: hold()
    return real(handle)
os.fsync = fsync
"""
PATIENCE = 240.0  # seconds, for a machine that is busy with other things


def undrawn(folder: Any, *rest: object) -> None:
    """Stand in for the figures of a run, which are most of the time that a small one takes."""
    folder.figures.mkdir(exist_ok=True)


@pytest.fixture(scope="module", autouse=True)
def _undrawn() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(analysis.plots, "draw_run", undrawn)
        patched.setattr("analysis.plots.study.draw_study", lambda study, folder: None)
        yield


@dataclasses.dataclass
class Outcome:
    """How a command ended."""

    code: int | None
    out: str
    err: str
    warned: list[str] = dataclasses.field(default_factory=list)

    def check_error(self, code: int, *parts: str) -> None:
        """One line on stderr with all the parts, and the exit code."""
        lines = self.err.strip().splitlines()
        assert self.code == code, (self.code, self.err)
        assert len(lines) == 1, self.err
        assert lines[0].startswith("physcore:"), lines
        for part in parts:
            assert part in lines[0], lines[0]
        assert "Traceback" not in self.err + self.out


Command = Callable[..., Outcome]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command line in this process; a warning is kept and not raised."""

    def run(*words: object) -> Outcome:
        capsys.readouterr()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err, [str(warning.message) for warning in caught])

    return run


class Child:
    """A command in a process of its own, forked from a server that has imported everything."""

    def __init__(self, process: BaseProcess, folder: Path) -> None:
        self.process, self.folder = process, folder

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until something is true; the child must not end before."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert self.process.is_alive() or condition(), (self.folder / "stderr").read_text()
            assert time.monotonic() < end, "waited too long"
            time.sleep(0.005)

    def send(self, number: int) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Send a first signal, wait until it is heard and let the child go on from where it holds."""
        self.send(number)
        self.wait_for((self.folder / "heard").exists)
        self.release()

    def release(self) -> None:
        """Let the child go on from where it holds."""
        (self.folder / "released").touch()

    def outcome(self) -> Outcome:
        self.process.join(PATIENCE)
        assert self.process.exitcode is not None, "the child hangs"
        return Outcome(
            self.process.exitcode, (self.folder / "stdout").read_text(), (self.folder / "stderr").read_text()
        )


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    """Start the command line in a child.

    ``before`` is source that it runs first, in which ``hold()`` waits until the child is released and ``note(name)``
    makes a file in the folder of the child.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["physcore.score.fit", "simulations.simulate", "analysis.compare"])
    started: list[BaseProcess] = []

    def start(*words: object, before: str = "") -> Child:
        import runpy

        folder = tmp_path / f"child{len(started)}"
        folder.mkdir()
        script = folder / "child.py"
        script.write_text(CHILD)
        given = {"words": [str(word) for word in words], "before": before, "folder": str(folder)}
        process = context.Process(target=runpy.run_path, args=(str(script), given, "child"))
        process.start()
        started.append(process)
        return Child(process, folder)

    yield start
    for process in started:
        if process.is_alive():
            process.kill()
        process.join()
        process.close()


@pytest.fixture
def held_disk() -> Callable[[Path, int], str]:
    """Source of a disk that takes nothing more once so many segments of a run are there, until the child is released.

    A child is met in the middle of its run so, on any machine.
    """
    return lambda run, most: HELD_DISK.format(files=str(run / "trajectories" / "block*.nc"), most=most)


@pytest.fixture
def sha256() -> Callable[[Path], dict[str, str]]:
    """The bits of a run's segments by name."""

    def digests(run: Path) -> dict[str, str]:
        files = sorted((run / "trajectories").glob("block*.nc"))
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    return digests


@pytest.fixture
def check_whole() -> Callable[[Path], int]:
    """Check that every published segment of a run opens and follows the one before; return their number."""

    def check(run: Path) -> int:
        files = sorted((run / "trajectories").glob("block*.nc"))
        last: dict[str, float] = {}
        for path in files:
            block = path.name.partition("-")[0]
            with xr.open_dataset(path, decode_times=False) as segment:
                times = segment["time"].values
                assert segment["x"].notnull().all()
                if block in last:
                    assert times[0] > last[block]
                last[block] = times[-1]
        return len(files)

    return check
