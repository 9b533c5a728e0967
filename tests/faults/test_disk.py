"""Faults B: disks, directories and locks."""

import errno
import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from physcore.errors import RunLockedError, StorageError
from physcore.storage.publishing import free_space_checked, publish_text
from simulations import DoubleWell, simulate

Run = Callable[..., Any]
WORDS = ["--paths", 3000, "--duration", 0.3, "--dt", 0.01, "--save_every", 2, "--paths_per_block", 1024]
SMALL = [*WORDS, "--frames_per_segment", 5, "--seed", 3]


def files(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}


# No file may grow beyond 20 kB: manifests fit, segments and scores do not.
LIMIT = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
"""


def test_b1_a_full_disk_ends_the_run_with_whole_segments_and_it_continues(
    command: Run, child: Run, check_whole: Run, sha256: Run, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    outcome = child("simulate", "active-swimmer", *SMALL, "--out", run, before=LIMIT).outcome()
    outcome.check_error(5, str(run))
    assert not list(run.rglob(".partial-*"))
    check_whole(run)
    assert command("simulate", "active-swimmer", *SMALL, "--out", run).code == 0
    assert command("simulate", "active-swimmer", *SMALL, "--out", tmp_path / "other").code == 0
    assert sha256(run) == sha256(tmp_path / "other")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=lambda number: errno.errorcode[number])
@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_b1_b11_a_failing_write_is_one_line_and_leaves_no_final_name(
    command: Run, check_whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, number: int
) -> None:
    run, real, calls = tmp_path / "run", getattr(os, broken), []

    def fail(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) > 6:
            raise OSError(number, os.strerror(number))
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, broken, fail)
        outcome = command("simulate", "active-swimmer", *SMALL, "--out", run)
    outcome.check_error(5, "block0000", "no space left" if number == errno.ENOSPC else os.strerror(number))
    assert not list(run.rglob(".partial-*"))
    assert not (run / ".lock").exists()
    assert 0 < check_whole(run) < 12
    assert command("simulate", "active-swimmer", *SMALL, "--out", run).code == 0


def test_b2_a_disk_that_fills_while_a_score_is_saved_keeps_the_old_one(
    command: Run, child: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    words = ["--paths", 1024, "--duration", 1.0, "--dt", 0.05, "--seed", 3, "--out", run]
    assert command("simulate", "ornstein-uhlenbeck", *words, "--save_every", 2).code == 0
    fit = ["fit", run, "--training.batch", 32, "--training.steps"]
    assert command(*fit, 10).code == 0
    kept = (run / "score.pt").read_bytes()

    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("torch.save", fail)
        command(*fit, 20, "--overwrite").check_error(5, "no space left", "score.pt")
    child(*fit, 20, "--overwrite", before=LIMIT).outcome().check_error(5, "score.pt")
    assert (run / "score.pt").read_bytes() == kept
    assert not list(run.rglob(".partial-*"))


def test_b3_a_run_that_cannot_fit_on_the_disk_is_refused_before_its_first_step(command: Run, tmp_path: Path) -> None:
    words = ["--paths", 10**9, "--duration", 1000.0, "--dt", 0.001, "--save_every", 1, "--out", tmp_path / "run"]
    command("simulate", "active-swimmer", *words).check_error(5, "MB")
    assert not list((tmp_path / "run").rglob("*.nc"))
    with pytest.raises(StorageError, match="MB"):
        free_space_checked(tmp_path, 10**18)


def test_b4_a_file_in_place_of_the_directory_is_refused_and_kept(command: Run, tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.write_text("mine")
    command("simulate", "active-swimmer", *SMALL, "--out", path).check_error(5, "is a file")
    command("simulate", "active-swimmer", *SMALL, "--out", path / "below").check_error(5)
    outcome = command("simulate", "active-swimmer", *SMALL, "--out", path, "--overwrite")
    assert path.read_text() == "mine"
    outcome.check_error(5, "file")


def test_b4_missing_parents_are_made(command: Run, tmp_path: Path) -> None:
    run = tmp_path / "a" / "b" / "run with spaces ü"
    assert command("simulate", "active-swimmer", *SMALL, "--out", run).code == 0
    assert (run / "manifest.json").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_b4_a_directory_without_permission_is_one_line(command: Run, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    command("simulate", "active-swimmer", *SMALL, "--out", tmp_path / "closed" / "run").check_error(5)


def test_b9_a_name_that_is_too_long_is_one_line(command: Run, tmp_path: Path) -> None:
    outcome = command("simulate", "active-swimmer", *SMALL, "--out", tmp_path / ("x" * 300))
    outcome.check_error(5)


def test_b9_a_symbolic_link_to_a_directory_is_a_directory(command: Run, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert command("simulate", "active-swimmer", *SMALL, "--out", tmp_path / "link").code == 0
    assert (tmp_path / "real" / "manifest.json").exists()


@pytest.fixture
def run(command: Run, tmp_path: Path) -> Path:
    assert command("simulate", "active-swimmer", *SMALL, "--out", tmp_path / "run").code == 0
    return tmp_path / "run"


def test_b5_an_existing_run_is_replaced_only_when_asked(command: Run, run: Path) -> None:
    kept = files(run)
    other = ["simulate", "active-swimmer", *WORDS, "--seed", 4, "--out", run]
    command(*other).check_error(2, "seed", "--overwrite")
    assert files(run) == kept
    assert command(*other, "--overwrite").code == 0
    assert json.loads((run / "manifest.json").read_text())["seed"] == "4"
    assert sorted(path.name for path in run.parent.iterdir()) == ["run"]


def test_b5_a_replacement_that_fails_leaves_the_old_run_as_it_was(command: Run, run: Path) -> None:
    kept = files(run)
    exploding = ["simulate", "active-swimmer", "--paths", 1024, "--duration", 200.0, "--dt", 2.0, "--save_every", 1]
    command(*exploding, "--seed", 3, "--out", run, "--overwrite").check_error(4)
    assert files(run) == kept
    # The failed attempt must not stand in the way of the next one.
    assert command("simulate", "active-swimmer", *WORDS, "--seed", 4, "--out", run, "--overwrite").code == 0
    assert json.loads((run / "manifest.json").read_text())["seed"] == "4"


def test_b5_a_replacement_that_is_stopped_leaves_the_old_run_and_is_continued(
    command: Run, child: Run, held_disk: Run, run: Path, tmp_path: Path
) -> None:
    kept = files(run)
    words = ["simulate", "active-swimmer", "--paths", 2048, "--duration", 2.0, "--dt", 0.005, "--save_every", 4]
    words += ["--frames_per_segment", 5, "--seed", 5, "--out", run, "--overwrite"]
    running = child(*words, before=held_disk(tmp_path / ".run.new", 2))
    running.wait_for(lambda: len(list(tmp_path.glob(".run.new/trajectories/block*.nc"))) >= 2)
    running.stop()
    running.outcome().check_error(75)
    assert files(run) == kept
    assert list(tmp_path.glob(".run.new/trajectories/block*.nc"))
    assert command(*words).code == 0
    assert json.loads((run / "manifest.json").read_text())["seed"] == "5"
    assert not list(tmp_path.glob(".run.*"))


def test_b5_a_directory_that_is_no_run_is_never_replaced(command: Run, tmp_path: Path) -> None:
    theirs = tmp_path / "thesis"
    theirs.mkdir()
    (theirs / "chapter.tex").write_text("years of work")
    for words in ([], ["--overwrite"]):
        outcome = command("simulate", "active-swimmer", *SMALL, "--out", theirs, *words)
        assert (theirs / "chapter.tex").read_text() == "years of work"
        outcome.check_error(2, str(theirs))
        assert [path.name for path in theirs.iterdir()] == ["chapter.tex"]


def test_b5_the_directory_itself_can_be_the_current_one(
    command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert command("simulate", "active-swimmer", *SMALL, "--out", ".").code == 0
    assert (tmp_path / "here" / "manifest.json").exists()
    outcome = command("simulate", "active-swimmer", *WORDS, "--seed", 4, "--out", ".", "--overwrite")
    assert (tmp_path / "here" / "manifest.json").exists()
    if outcome.code != 0:
        outcome.check_error(2)


def test_b5_a_run_that_another_process_holds_is_not_replaced(command: Run, run: Path) -> None:
    (run / ".lock").write_text(json.dumps({"host": socket.gethostname(), "pid": os.getppid()}))
    kept = files(run)
    outcome = command("simulate", "active-swimmer", *WORDS, "--seed", 4, "--out", run, "--overwrite")
    assert files(run) == kept
    outcome.check_error(6, str(os.getppid()))


def test_b6_a_second_run_in_a_held_directory_ends_at_once_and_harms_nothing(
    command: Run, child: Run, held_disk: Run, check_whole: Run, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = ["simulate", "active-swimmer", "--paths", 2048, "--duration", 2.0, "--dt", 0.005, "--save_every", 4]
    words += ["--frames_per_segment", 5, "--seed", 3, "--out", run]
    first = child(*words, before=held_disk(run, 2))
    first.wait_for(lambda: len(list((run / "trajectories").glob("block*.nc"))) >= 2)
    command(*words).check_error(6, str(first.process.pid), socket.gethostname())
    command("fit", run).check_error(6, str(first.process.pid))
    first.release()
    assert first.outcome().code == 0
    assert check_whole(run) == 21
    assert command(*words).code == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (json.dumps({"host": "elsewhere", "pid": 1}), "elsewhere"),
        (json.dumps({"host": socket.gethostname(), "pid": os.getpid()}), str(os.getpid())),
        ("", "unknown host"),
        ("[]", "unknown host"),
        ('{"host": 3}', "unknown host"),
    ],
    ids=["another-host", "a-living-process", "empty", "no-mapping", "incomplete"],
)
def test_b6_a_lock_that_may_be_held_is_respected(command: Run, run: Path, content: str, said: str) -> None:
    (run / ".lock").write_text(content)
    command("fit", run).check_error(6, said, str(run))
    assert (run / ".lock").read_text() == content


def test_b6_the_lock_of_a_dead_process_is_taken_over_with_a_warning(tmp_path: Path) -> None:
    run, dead = tmp_path / "run", os.fork()
    if dead == 0:
        os._exit(0)
    os.waitpid(dead, 0)
    run.mkdir()
    (run / ".lock").write_text(json.dumps({"host": socket.gethostname(), "pid": dead}))
    with pytest.warns(UserWarning, match=f"process {dead}, which is dead"):
        simulate(DoubleWell(), paths=10, duration=0.1, dt=0.1, seed=1, out=run)
    assert not (run / ".lock").exists()


def test_b6_the_lock_is_given_back_when_the_run_fails(tmp_path: Path) -> None:
    run = tmp_path / "run"
    simulate(DoubleWell(), paths=10, duration=0.1, dt=0.1, seed=1, out=run)
    with pytest.raises(ValueError, match="different run"):
        simulate(DoubleWell(), paths=10, duration=0.1, dt=0.1, seed=2, out=run)
    assert not (run / ".lock").exists()
    (run / ".lock").write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    with pytest.raises(RunLockedError):
        simulate(DoubleWell(), paths=10, duration=0.1, dt=0.1, seed=1, out=run)
    assert (run / ".lock").exists()


# Whatever is synced waits until a reader has looked at the run from beginning to end meanwhile.
WATCHED_DISK = """
real, looks = os.fsync, os.path.join(folder, "looks")
def fsync(handle):
    seen = os.path.getsize(looks) if os.path.exists(looks) else 0
    while not os.path.exists(looks) or os.path.getsize(looks) < seen + 2: time.sleep(0.002)
    return real(handle)
os.fsync = fsync
"""


def test_b7_a_reader_finds_only_whole_segments_while_a_run_is_written(
    child: Run, check_whole: Run, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = ["simulate", "active-swimmer", "--paths", 1024, "--duration", 1.0, "--dt", 0.005, "--save_every", 4]
    writer = child(*words, "--frames_per_segment", 9, "--seed", 3, "--out", run, before=WATCHED_DISK)
    counts = []
    while writer.process.is_alive():
        counts.append(check_whole(run))
        with open(writer.folder / "looks", "a") as looks:
            looks.write(".")
    assert writer.outcome().code == 0
    assert counts == sorted(counts)
    assert set(counts) & set(range(1, 6)), "the reader never met the writer"
    assert check_whole(run) == 6


def test_g7_a_final_name_that_is_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("theirs")
    (tmp_path / "final").symlink_to(outside)
    publish_text(tmp_path / "final", "ours")
    assert outside.read_text() == "theirs"
    assert not (tmp_path / "final").is_symlink()


def test_signals_are_given_back_after_a_command(command: Run, tmp_path: Path) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    command("simulate", "active-swimmer", *SMALL, "--out", tmp_path / "run")
    assert {number: signal.getsignal(number) for number in before} == before
