"""Faults A: crashes, restarts and requests to stop."""

import json
import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from physcore.registry import build
from physcore.storage import Manifest
from simulations import ActiveSwimmer, simulate
from simulations.recording import MOST_PENDING

Run = Callable[..., Any]
SWIMMER = ["--paths", 1024, "--duration", 2.0, "--dt", 0.005, "--save_every", 4, "--paths_per_block", 1024]
SEGMENTS = ["--frames_per_segment", 5, "--seed", 3]
TRAP = ["--paths", 1024, "--duration", 1.0, "--dt", 0.05, "--save_every", 2, "--seed", 3]
FIT = [
    "--model",
    "{name: local, network: {name: mlp, width: 16, depth: 1}}",
    "--training.batch",
    64,
    "--training.validate_every",
    150,
    "--training.checkpoint_every",
    50,
]


def segments(run: Path) -> list[Path]:
    return sorted((run / "trajectories").glob("block*.nc"))


def stamps(run: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in segments(run)}


@pytest.fixture
def small(command: Run, tmp_path: Path) -> Path:
    """A finished simulation in 3 blocks of 3 segments."""
    run = tmp_path / "small"
    words = ["--paths", 3000, "--duration", 0.3, "--dt", 0.01, "--save_every", 2, "--paths_per_block", 1024]
    assert command("simulate", "active-swimmer", *words, *SEGMENTS, "--out", run).code == 0
    assert len(segments(run)) == 12
    return run


SMALL = ["--paths", 3000, "--duration", 0.3, "--dt", 0.01, "--save_every", 2, "--paths_per_block", 1024, *SEGMENTS]


KILLED = """
import signal
real, calls = os.{call}, []
def killing(*arguments):
    calls.append(1)
    if len(calls) == {count}: os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)
os.{call} = killing
"""


def test_a1_a2_a_run_killed_at_any_moment_is_whole_and_continues_to_the_same_bits(
    command: Run, child: Run, check_whole: Run, sha256: Run, tmp_path: Path
) -> None:
    words = ["simulate", "active-swimmer", *SWIMMER, *SEGMENTS, "--out"]
    assert command(*words, tmp_path / "whole").code == 0
    moments, counts = random.Random(1), []
    for _ in range(6):
        # The writers sync and rename side by side: whoever comes to the moment, the others are anywhere.
        before = KILLED.format(call=moments.choice(["fsync", "replace"]), count=moments.randint(1, 6))
        running = child(*words, tmp_path / "killed", before=before)
        assert running.outcome().code == -signal.SIGKILL
        counts.append(check_whole(tmp_path / "killed"))
    assert counts == sorted(counts), "a published segment was lost"
    assert 0 < counts[-1] < 21
    assert command(*words, tmp_path / "killed").code == 0
    assert sha256(tmp_path / "killed") == sha256(tmp_path / "whole")
    assert not list((tmp_path / "killed").rglob(".partial-*"))
    assert not list((tmp_path / "killed").rglob(".lock"))
    first, second = (Manifest.read(tmp_path / name) for name in ("killed", "whole"))
    assert first.checksums == second.checksums
    assert first.complete


def test_a1_a_kill_inside_a_write_leaves_only_temporary_files(
    command: Run, child: Run, check_whole: Run, sha256: Run, tmp_path: Path
) -> None:
    # Of the files that are synced, the first is the manifest. When one segment more than may be pending is about to
    # be synced, one has been published; that one is not, and so may be the others that are pending.
    before = (
        "import os, signal, stat\n"
        "real, calls = os.fsync, []\n"
        "def fsync(handle):\n"
        "    calls.extend([1] * stat.S_ISREG(os.fstat(handle).st_mode))\n"
        f"    if len(calls) == {MOST_PENDING + 2}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(handle)\n"
        "os.fsync = fsync\n"
    )
    run = tmp_path / "run"
    assert child("simulate", "active-swimmer", *SMALL, "--out", run, before=before).outcome().code == -signal.SIGKILL
    left = [path for path in run.rglob("*") if path.is_file() and path.name not in ("manifest.json", ".lock")]
    temporary = [path.name for path in left if path.name.startswith(".partial-")]
    assert 1 <= len(temporary) <= MOST_PENDING
    whole = check_whole(run)
    assert 0 < whole < 12
    assert len(left) == whole + len(temporary)
    assert not any(name.endswith(path.name) for name in temporary for path in segments(run))
    kept = stamps(run)
    outcome = command("simulate", "active-swimmer", *SMALL, "--out", run)
    assert outcome.code == 0
    assert any("taking over" in text for text in outcome.warned)
    assert not list(run.rglob(".partial-*"))
    assert {name: stamp for name, stamp in stamps(run).items() if name in kept} == kept
    assert command("simulate", "active-swimmer", *SMALL, "--out", tmp_path / "other").code == 0
    assert sha256(run) == sha256(tmp_path / "other")


def test_a2_only_our_temporary_files_are_swept(command: Run, small: Path) -> None:
    ours = small / "trajectories" / ".partial-999999-block00000-segment0000.nc"
    theirs = [small / "notes.txt", small / "trajectories" / "notes.partial", small / ".hidden"]
    for path in (ours, *theirs):
        path.write_text("kept?")
    assert command("simulate", "active-swimmer", *SMALL, "--out", small).code == 0
    assert not ours.exists()
    assert all(path.exists() for path in theirs)


def test_a3_a_kill_between_the_last_segment_and_the_manifest_costs_nothing(
    command: Run, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, kept = tmp_path / "run", {}

    def killed(self: Manifest, checksums: dict[str, str]) -> Manifest:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "completed", killed)
        with pytest.raises(KeyboardInterrupt):
            simulate(
                ActiveSwimmer(),
                paths=3000,
                duration=0.3,
                dt=0.01,
                save_every=2,
                paths_per_block=1024,
                frames_per_segment=5,
                seed=3,
                out=run,
            )
    kept = stamps(run)
    assert len(kept) == 12
    assert not Manifest.read(run).complete
    outcome = command("fit", run)
    outcome.check_error(3, "not finished", "simulate")
    assert command("simulate", "active-swimmer", *SMALL, "--out", run).code == 0
    assert stamps(run) == kept, "segments were computed again"
    assert Manifest.read(run).checksums == Manifest.read(small).checksums


@pytest.mark.parametrize("how", ["missing", "flipped", "truncated", "empty"])
def test_a6_a_segment_that_is_missing_or_changed_after_the_run_is_named(command: Run, small: Path, how: str) -> None:
    path = segments(small)[4]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    match how:
        case "missing":
            path.unlink()
        case "flipped":
            path.write_bytes(content)
        case "truncated":
            path.write_bytes(content[:-1])
        case "empty":
            path.write_bytes(b"")
    for name in ("fit", "compare"):
        command(name, small).check_error(3, path.name)


def test_a6_a_missing_segment_is_named_by_simulate_too(command: Run, small: Path) -> None:
    path = segments(small)[4]
    path.unlink()
    outcome = command("simulate", "active-swimmer", *SMALL, "--out", small)
    if outcome.code != 0:
        outcome.check_error(3, path.name)
    else:
        assert path.exists()


def test_a8_a_changed_configuration_is_refused_with_the_keys_that_differ(command: Run, small: Path) -> None:
    kept, manifest = stamps(small), (small / "manifest.json").read_text()
    changed = {"--dt": 0.02, "--seed": 4, "--paths": 3001, "--frames_per_segment": 6, "--parameters.friction": 0.2}
    for option, value in changed.items():
        words = [*SMALL, option, value, "--out", small]
        if option == "--dt":
            words += ["--save_every", 1]
        outcome = command("simulate", "active-swimmer", *words)
        outcome.check_error(2, f"{option.rpartition('.')[2].lstrip('-')}: ", f"-> {value}")
    assert stamps(small) == kept
    assert (small / "manifest.json").read_text() == manifest


def test_a8_another_process_in_the_same_directory_is_refused(command: Run, small: Path) -> None:
    command("simulate", "double-well", "--paths", 1024, "--duration", 0.2, "--out", small).check_error(2, "process")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1], ids=lambda number: number.name)
def test_a10_a_signal_stops_a_simulation_at_a_segment_and_it_continues(
    command: Run, child: Run, held_disk: Run, check_whole: Run, sha256: Run, tmp_path: Path, number: signal.Signals
) -> None:
    words = ["simulate", "active-swimmer", *SWIMMER, *SEGMENTS, "--out"]
    run = tmp_path / "run"
    running = child(*words, run, before=held_disk(run, 2))
    running.wait_for(lambda: len(segments(run)) >= 2)
    running.stop(number)
    outcome = running.outcome()
    outcome.check_error(75, "stopped", "again")
    published = check_whole(run)
    assert 2 <= published < 21
    assert not (run / ".lock").exists()
    if number == signal.SIGTERM:
        assert command(*words, run).code == 0
        assert check_whole(run) == 21
        assert command(*words, tmp_path / "whole").code == 0
        assert sha256(run) == sha256(tmp_path / "whole")


def test_a10_a_second_signal_ends_the_run_at_once_and_files_stay_whole(
    child: Run, held_disk: Run, check_whole: Run, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    # The disk is held for good, so that the first signal cannot end the run before the second comes.
    running = child("simulate", "active-swimmer", *SWIMMER, *SEGMENTS, "--out", run, before=held_disk(run, 2))
    running.wait_for(lambda: len(segments(run)) >= 2)
    running.send(signal.SIGTERM)
    running.wait_for((running.folder / "heard").exists)
    running.send(signal.SIGTERM)
    assert running.outcome().code == 143
    assert 2 <= check_whole(run) < 21


@pytest.fixture
def trap(command: Run, tmp_path: Path) -> Path:
    run = tmp_path / "trap"
    assert command("simulate", "ornstein-uhlenbeck", *TRAP, "--out", run).code == 0
    return run


def weights(run: Path) -> dict[str, torch.Tensor]:
    content: dict[str, torch.Tensor] = torch.load(run / "score.pt", weights_only=True)["state"]
    return content


# Held in a step between the first checkpoint and the second.
HELD_FIT = """
from physcore.score.objectives import LocalDenoising
loss, calls = LocalDenoising.loss, []
def held(*arguments):
    calls.append(1)
    if len(calls) == 75: hold()
    return loss(*arguments)
LocalDenoising.loss = held
"""


def test_a10_a14_a_stopped_fit_continues_to_the_same_weights(
    command: Run, child: Run, trap: Path, tmp_path: Path
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    for copy in (whole, stopped):
        shutil.copytree(trap, copy)
    words = ["--training.steps", 150, *FIT]
    assert command("fit", whole, *words).code == 0
    assert not (whole / "checkpoints").exists()
    running = child("fit", stopped, *words, before=HELD_FIT)
    running.wait_for(lambda: any((stopped / "checkpoints").glob("step*.pt")))
    running.stop()
    running.outcome().check_error(75, "the fit was stopped", "again")
    assert not (stopped / "score.pt").exists()
    assert list((stopped / "checkpoints").glob("step*.pt"))
    assert command("fit", stopped, *words).code == 0
    first, second = weights(whole), weights(stopped)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not (stopped / "checkpoints").exists()


def test_a5_a_fit_whose_checkpoints_are_all_damaged_does_not_silently_start_anew(
    command: Run, trap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = trap / "checkpoints"
    checkpoints.mkdir()
    (checkpoints / "step000000050.pt").write_bytes(b"garbage")
    command("fit", trap, "--training.steps", 100, *FIT).check_error(3, "step000000050.pt", "remove")


def test_a15_a_finished_run_is_not_done_again_and_says_so(command: Run, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = [
        *[f"--simulate.{str(word)[2:]}" if str(word).startswith("--") and word != "--seed" else word for word in TRAP],
        *["--fit.training.steps", 20, "--fit.training.batch", 32, "--compare.paths", 500, "--compare.times", "[1.0]"],
    ]
    first = command("run", "ornstein-uhlenbeck", *words, "--out", run)
    assert first.code == 0, first.err
    kept = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    assert {path.name for path in kept} >= {"manifest.json", "score.pt", "history.nc", "comparison.nc"}
    again = command("run", "ornstein-uhlenbeck", *words, "--out", run)
    assert again.code == 0
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()} == kept
    for stage in ("simulate", "fit", "compare"):
        assert any(line.startswith(f"{stage}: ") and "done already" in line for line in again.out.splitlines()), stage
    assert first.out.splitlines()[-2:] == again.out.splitlines()[-2:], "the table or the report is not the same"


def test_a8_a_fit_with_other_settings_is_refused_and_the_old_one_kept(command: Run, trap: Path) -> None:
    words = ["--training.steps", 20, "--training.batch", 32]
    assert command("fit", trap, *words).code == 0
    kept = (trap / "score.pt").read_bytes()
    command("fit", trap, "--training.steps", 30, "--training.batch", 32).check_error(2, "steps", "--overwrite")
    assert (trap / "score.pt").read_bytes() == kept
    assert command("fit", trap, "--training.steps", 30, "--training.batch", 32, "--overwrite").code == 0
    assert (trap / "score.pt").read_bytes() != kept


def test_a13_the_manifest_of_a_newer_format_is_refused(command: Run, trap: Path) -> None:
    manifest = json.loads((trap / "manifest.json").read_text())
    manifest["format_version"] = 99
    (trap / "manifest.json").write_text(json.dumps(manifest))
    command("fit", trap).check_error(3, "format version 99")


def test_a_run_s_process_can_be_rebuilt_from_its_manifest(trap: Path) -> None:
    manifest = Manifest.read(trap)
    process = build("physcore.processes", manifest.process, manifest.parameters)
    assert repr(process).startswith("OrnsteinUhlenbeck(")
    assert os.listdir(trap / "trajectories") == ["block00000-segment0000.nc"]
