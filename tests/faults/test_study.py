"""Studies from the command line: refusals, failing cells, kills and stops, extension and change."""

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import physcore.stopping
from physcore.command import main
from physcore.errors import NumericalError
from physcore.score.command import FitCommand
from physcore.stopping import StopRequest
from physcore.storage import Manifest
from physcore.study import open_study

Run = Callable[..., Any]
RUN = (
    "run:\n"
    "  process: ornstein-uhlenbeck\n"
    "  seed: 3\n"
    "  simulate: {paths: 1024, duration: 1.0, dt: 0.05, save_every: 5}\n"
    "  fit: {objective: {name: local-denoising, lag: 0.5}, training: {steps: 4, batch: 32}}\n"
    "  compare: {references: [{name: exact}], times: [1.0], paths: 200, blocks: 4}\n"
)
STUDY = RUN + "axes:\n  lag: {fit.objective.lag: [0.25, 0.5]}\n  seed: [1, 2]\n"
CELLS = [f"lag={lag},seed={seed}" for lag in (0.25, 0.5) for seed in (1, 2)]


@pytest.fixture
def study(command: Run, tmp_path: Path) -> Run:
    """Run a study's file in ``out``."""

    def run(content: str, *words: object) -> Any:
        (tmp_path / "study.yaml").write_text(content)
        return command("study", "study.yaml", "--out", "out", *words)

    return run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study, made once for all tests."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "study.yaml").write_text(STUDY)
    assert main(["study", str(folder / "study.yaml"), "--out", str(folder / "out")]) == 0
    return folder / "out"


@pytest.fixture
def finished(made: Path, tmp_path: Path) -> Path:
    """A finished study of the test's own, in ``out``."""
    return shutil.copytree(made, tmp_path / "out")


def stamps(tmp_path: Path) -> dict[str, int]:
    """Return when the manifest of each cell was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in tmp_path.glob("out/cells/*/manifest.json")}


def numbers(path: Path) -> xr.Dataset:
    return open_study(path).drop_vars("training_time").drop_attrs()


def test_the_list_shows_every_cell_and_makes_nothing(study: Run, tmp_path: Path) -> None:
    outcome = study(STUDY, "--list")
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[0] == "study: 4 cells = lag (2) x seed (2); 4 new"
    assert lines[1].split() == ["cell", "lag", "seed", "stages", "state"]
    assert lines[4].split() == ["3", "0.5", "1", "simulate", "fit", "compare", "new"]
    assert len(lines) == 6
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (STUDY + "  size: {fit.trainin.steps: [1]}\n", ["'trainin'", "'training'", "4 of 4"]),
        (STUDY + "  size: {fit.objective.lagg: [1]}\n", ["lag=0.25,seed=1", "lagg"]),
        (STUDY + "  size: {fit.training.steps: [many]}\n", ["steps", "many"]),
        (STUDY + "  size: {fit.training.steps: [5, 0]}\n", ["steps", "seed=1,size=0"]),
        (STUDY + "  size: {simulate.scheme: [milstein]}\n", ["milstein", "euler-maruyama"]),
        (STUDY + "  way: {fit.objective: [{name: exact}]}\n", ["'exact'"]),
        (STUDY + "  process: [double-well, duble-well]\n", ["did you mean 'double-well'"]),
        (STUDY + "  paths: {compare.paths: [3]}\n", ["blocks"]),
        (STUDY + "  seed: [3]\n", ["twice", "line"]),
        (STUDY + "  seeds: {seed: [3]}\n", ["`seed`", "more than one axis"]),
        (STUDY.replace("[1, 2]", "[1, 1]"), ["'seed'", "1 twice"]),
        (STUDY.replace("[1, 2]", "[-1]"), ["seed", "-1"]),
        (STUDY + "seed: 3\n", ["`seed`", "axis"]),
        (STUDY + "axis: {}\n", ["'axis'", "did you mean 'axes'"]),
        (STUDY + "ranks_per_cell: 2\n", ["`ranks_per_cell`", "there are 1"]),
        (STUDY + "ranks_per_cell: 0\n", ["`ranks_per_cell`"]),
        (RUN, ["`axes`"]),
        ("axes: {seed: [1]}\n", ["`run`"]),
        ("run: missing.yaml\naxes: {seed: [1]}\n", ["missing.yaml"]),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_made(
    study: Run, tmp_path: Path, content: str, parts: list[str]
) -> None:
    study(content).check_error(2, *parts)
    assert not (tmp_path / "out").exists()


def test_a_directory_that_holds_something_else_is_refused(study: Run, command: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    study(STUDY).check_error(2, "no study")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]
    command("study", "out").check_error(3, "no study")
    command("study", "double-well").check_error(2, "double-well")


def test_a_study_has_run_every_cell_and_does_nothing_twice(finished: Path, command: Run, tmp_path: Path) -> None:
    first, made = open_study("out"), stamps(tmp_path)
    assert sorted(made) == CELLS
    assert (first["state"] == 1).all()
    assert first["value"].sel(selection="full").notnull().any(("reference", "time")).all()
    assert len(np.unique(first["value"].sel(selection="full", time=1.0))) == 4
    assert "compare:" in (finished / "logs" / f"{CELLS[0]}.txt").read_text(), "a cell speaks in its log"
    again = command("study", "out")
    assert again.code == 0, again.err
    assert "4 finished" in again.out
    assert stamps(tmp_path) == made
    xr.testing.assert_equal(open_study("out"), first)


def test_of_a_larger_grid_the_new_cells_alone_are_run(finished: Path, study: Run, tmp_path: Path) -> None:
    first, made = open_study("out"), stamps(tmp_path)
    outcome = study(STUDY.replace("seed: [1, 2]", "seed: [2, 1, 7]"))
    assert outcome.code == 0, outcome.err
    assert "2 new" in outcome.out
    assert sum(": done in" in line for line in outcome.out.splitlines()) == 2
    assert "compare:" not in outcome.out
    assert {name: stamp for name, stamp in stamps(tmp_path).items() if name in made} == made
    second = open_study("out")
    assert second["seed"].values.tolist() == [2, 1, 7]
    xr.testing.assert_equal(second.sel(seed=[1, 2]), first)
    assert (second["state"] == 1).all()
    # What is not of a smaller grid is left alone.
    assert "2 run directories are not of this grid" in study(STUDY, "--list").out


def test_a_changed_cell_is_refused_or_replaced_alone(finished: Path, study: Run, tmp_path: Path) -> None:
    made, longer = stamps(tmp_path), STUDY.replace("steps: 4", "steps: 5")
    study(longer).check_error(2, f"cell {CELLS[0]}", "training", "--overwrite", "4 of 4")
    study(STUDY.replace("dt: 0.05", "dt: 0.1")).check_error(2, "dt: 0.05 -> 0.1")
    study(STUDY.replace("blocks: 4", "blocks: 8")).check_error(2, "blocks: 4 -> 8")
    assert stamps(tmp_path) == made
    outcome = study(longer.replace("[0.25, 0.5]", "[0.5]"), "--overwrite")
    assert outcome.code == 0, outcome.err
    assert "2 to be replaced" in outcome.out
    now = stamps(tmp_path)
    assert {name for name in made if now[name] != made[name]} == set(CELLS[2:])
    assert open_study("out")["training_steps"].values.tolist() == [[5, 5]]
    # What is as it should be is not done again, though it may be overwritten.
    assert "2 finished" in study(longer.replace("[0.25, 0.5]", "[0.5]"), "--overwrite").out
    assert stamps(tmp_path) == now


def test_a_failing_cell_costs_the_others_nothing_and_is_tried_again(
    finished: Path, study: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, tried, bad = FitCommand._fit, [], "lag=0.25,seed=7"

    def fit(self: FitCommand, job: Any) -> Any:
        tried.append(job.folder.path.name)
        if job.folder.path.name == bad:
            raise NumericalError("it diverged")
        return real(self, job)

    wider = STUDY.replace("seed: [1, 2]", "seed: [1, 7]")
    with monkeypatch.context() as patched:
        patched.setattr(FitCommand, "_fit", fit)
        study(wider).check_error(4, "1 of 4 cells failed", bad, "it diverged", "again")
        assert "NumericalError: it diverged" in (finished / "failures" / f"{bad}.txt").read_text()
        read = open_study("out").sel(selection="full", time=1.0)
        assert read["state"].values.tolist() == [[1, 2], [1, 1]]
        assert read["value"].isnull().squeeze().values.tolist() == [[False, True], [False, False]]
        assert "1 failed before" in study(wider, "--list").out
        # What failed comes after what is new.
        tried.clear()
        study(wider.replace("[1, 7]", "[1, 7, 8]").replace("[0.25, 0.5]", "[0.25]")).check_error(4, "1 of 3")
        assert tried == ["lag=0.25,seed=8", bad]
    made = stamps(tmp_path)
    assert study(wider).code == 0
    assert {name for name, stamp in stamps(tmp_path).items() if stamp != made[name]} == {bad}
    assert not list((finished / "failures").iterdir())
    assert (open_study("out")["state"] == 1).all()


def test_a_cell_is_finished_when_its_manifest_says_so_and_not_when_a_file_is_there(
    finished: Path, study: Run, tmp_path: Path
) -> None:
    first, folder = numbers(finished), finished / "cells" / CELLS[2]
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["stages"]["compare"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "comparison.nc").write_bytes(b"half of a file")
    outcome = study(STUDY)
    assert outcome.code == 0, outcome.err
    assert "3 finished, 1 begun" in outcome.out
    xr.testing.assert_equal(numbers(finished), first)
    # A damaged manifest, or a damaged result of a finished cell, is the failure of that cell.
    (folder / "comparison.nc").write_bytes(b"half of a file")
    study(STUDY).check_error(3, "1 of 4 cells failed", "comparison.nc")
    assert open_study("out")["state"].values.tolist() == [[1, 1], [2, 1]]
    (folder / "manifest.json").write_text("{")
    study(STUDY).check_error(3, "1 of 4 cells failed", "manifest.json")
    assert open_study("out")["state"].values.tolist() == [[1, 1], [2, 1]]


def test_a_killed_study_goes_on_where_it_was(made: Path, study: Run, child: Run, tmp_path: Path) -> None:
    before = (
        "import os, signal, analysis.plots\n"
        "from physcore.score.command import FitCommand\n"
        "def drawn(folder, *rest): folder.figures.mkdir(exist_ok=True)\n"
        "analysis.plots.draw_run = drawn\n"
        "real, calls = FitCommand._publish, []\n"
        "def publish(self, *rest):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    real(self, *rest)\n"
        "FitCommand._publish = publish\n"
    )
    (tmp_path / "study.yaml").write_text(STUDY)
    ended = child("study", tmp_path / "study.yaml", "--out", tmp_path / "out", before=before).outcome()
    assert ended.code == -signal.SIGKILL, ended.err
    manifests = [Manifest.read(tmp_path / "out" / "cells" / name) for name in CELLS[:3]]
    assert [len(manifest.stages) for manifest in manifests] == [2, 2, 0]
    outcome = study(STUDY)
    assert outcome.code == 0, outcome.err
    assert "2 finished, 1 begun, 1 new" in outcome.out
    xr.testing.assert_equal(numbers(tmp_path / "out"), numbers(made))
    assert not list((tmp_path / "out").rglob(".*"))


def test_a_stopped_study_joins_what_it_has_and_goes_on(
    study: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_after: Callable[[int], StopRequest]
) -> None:
    @contextlib.contextmanager
    def listening() -> Iterator[StopRequest]:
        yield stop_after(3)

    content = STUDY.replace("seed: [1, 2]", "seed: [1]")
    with monkeypatch.context() as patched:
        patched.setattr(physcore.stopping, "listening", listening)
        study(content).check_error(75, "stopped and saved", "run the same command again")
    assert open_study("out")["state"].values.tolist() == [[1], [0]]
    assert study(content).code == 0
    assert open_study("out")["state"].values.tolist() == [[1], [1]]


def test_cells_that_differ_in_the_comparison_alone_share_trajectories_and_score(
    study: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, fitted = FitCommand._fit, []
    monkeypatch.setattr(FitCommand, "_fit", lambda self, job: fitted.append(job.folder.path.name) or real(self, job))
    outcome = study(RUN + "axes: {blocks: {compare.blocks: [4, 8, 16]}}\n")
    assert outcome.code == 0, outcome.err
    assert fitted == ["blocks=4"]
    folders = [tmp_path / "out" / "cells" / f"blocks={blocks}" for blocks in (4, 8, 16)]
    for name in ("score.pt", "trajectories/block00000-segment0000.nc"):
        assert len({os.stat(folder / name).st_ino for folder in folders}) == 1
    assert "begun as blocks=4" in "".join(Manifest.read(folders[1]).history)
    read = open_study("out").sel(selection="full", time=1.0).squeeze()
    np.testing.assert_allclose(read["value"], read["value"][0], rtol=1e-6)  # sums of float32 in other blocks
    assert len(set(read["block_standard_error"].values)) == 3
    assert not list((tmp_path / "out" / "cells").glob(".*"))


def test_locks_of_an_earlier_attempt_on_another_host_do_not_hold_up_its_cells(finished: Path, study: Run) -> None:
    record = json.loads((finished / "study.json").read_text())
    record["ranks"] = [{"host": "node7", "pid": 12}]
    (finished / "study.json").write_text(json.dumps(record))
    for name, host in ((CELLS[2], "node7"), (CELLS[3], "node8")):
        manifest = json.loads((finished / "cells" / name / "manifest.json").read_text())
        del manifest["stages"]["compare"]
        (finished / "cells" / name / "manifest.json").write_text(json.dumps(manifest))
        (finished / "cells" / name / ".lock").write_text(json.dumps({"host": host, "pid": 12}))
    study(STUDY).check_error(6, "1 of 4 cells failed", CELLS[3], "node8")
    (finished / ".lock").write_text(json.dumps({"host": "node7", "pid": 12}))
    study(STUDY).check_error(6, "node7", "remove")


def test_a_job_that_slurm_started_again_takes_over_its_own_locks(
    finished: Path, study: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = {"host": "node7", "pid": 12, "job": "77", "restarts": 0}
    for job, restarts, code in (("77", None, 6), ("78", "1", 6), ("77", "1", 0)):
        monkeypatch.setenv("SLURM_JOB_ID", job)
        monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)
        if restarts:
            monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
        (finished / ".lock").write_text(json.dumps(lock))
        outcome = study(STUDY)
        assert outcome.code == code, outcome.err
    assert any("taking over" in text for text in outcome.warned)
