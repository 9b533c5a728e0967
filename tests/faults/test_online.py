"""Fits that simulate while they learn: nothing is stored, and what was begun is continued."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from physcore.score import load_score

Run = Callable[..., Any]
TRAINING = [
    "--training.steps=60",
    "--training.batch=32",
    "--training.validate_every=20",
    "--training.checkpoint_every=20",
    "--training.steps_per_round=10",
    "--objective.lag=0.5",
]
ONLINE = ["--online={name: simulation, paths: 1024, duration: 1.0, dt: 0.05, save_every: 2}"]
FIT = ["fit", "ornstein-uhlenbeck", *TRAINING, *ONLINE, "--seed=3"]


def files(run: Path) -> set[str]:
    return {path.name for path in run.iterdir() if path.name[0] != "."}


def test_a_score_is_learned_without_a_stored_run(command: Run, tmp_path: Path) -> None:
    run = tmp_path / "run"
    outcome = command(*FIT, "--out", run)
    assert outcome.code == 0, outcome.err
    assert "60 steps on fresh trajectories" in outcome.out
    assert files(run) == {"manifest.json", "score.pt", "score.pt.sha256", "history.nc", "metrics.csv"}
    table, history = pd.read_csv(run / "metrics.csv"), xr.load_dataset(run / "history.nc")
    np.testing.assert_array_equal(table["step"], [20, 40, 60])
    np.testing.assert_array_equal(table["validation_loss"], history["validation_loss"])
    assert "done already" in command(*FIT, "--out", run).out
    assert "done already" in command("fit", run, *TRAINING).out
    command("compare", run).check_error(3, "stores no trajectories")


def test_by_default_a_process_is_simulated_as_its_run_would_be(command: Run) -> None:
    printed = command("fit", "ornstein-uhlenbeck", "--print_config").out
    assert "online:\n" in printed
    assert "name: simulation\n" in printed
    assert "paths: 50000\n" in printed
    changed = command("fit", "ornstein-uhlenbeck", "--online.paths=2048", "--print_config").out
    assert "paths: 2048\n" in changed
    assert "dt: 0.01\n" in changed


def test_a14_a_killed_fit_is_continued_by_the_name_of_its_directory(
    command: Run, child: Callable[..., Any], tmp_path: Path
) -> None:
    before = (
        "import os, signal\n"
        "from physcore.score.objectives import LocalDenoising\n"
        "loss, calls = LocalDenoising.loss, []\n"
        "def killing(*arguments):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 50: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return loss(*arguments)\n"
        "LocalDenoising.loss = killing\n"
    )
    run = tmp_path / "run"
    assert child(*FIT, "--out", run, before=before).outcome().code == -signal.SIGKILL
    assert {"manifest.json", "checkpoints"} == files(run)
    assert command("fit", run, *TRAINING).code == 0
    assert command(*FIT, "--out", tmp_path / "whole").code == 0
    whole = load_score(tmp_path / "whole").state_dict()
    for name, value in load_score(run).state_dict().items():
        assert torch.equal(value, whole[name]), name


def test_a_run_with_a_section_online_stores_trajectories_to_compare_with_and_learns_from_fresh_ones(
    command: Run, tmp_path: Path
) -> None:
    (tmp_path / "run.yaml").write_text(
        "process: ornstein-uhlenbeck\n"
        "parameters: {drift_matrix: [[-1.0]], noise_matrix: [[1.0]]}\n"
        "simulate: {paths: 1024, duration: 1.0, dt: 0.05, save_every: 5}\n"
        "fit:\n"
        "  objective: {name: local-denoising, lag: 0.5}\n"
        "  training: {steps: 20, batch: 32}\n"
        "  online: {name: simulation, paths: 1024, duration: 1.0, dt: 0.05, save_every: 2}\n"
    )
    outcome = command("run", tmp_path / "run.yaml", "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert "20 steps on fresh trajectories" in outcome.out
    history = xr.load_dataset(tmp_path / "run" / "history.nc")
    assert "FreshSimulation" in history.attrs["settings"]
    assert (tmp_path / "run" / "trajectories").is_dir()


@pytest.mark.parametrize(
    ("online", "message"),
    [
        ("{paths: 100}", "`online` must have a `name`; known: simulation"),
        ("{name: simulatoin}", "did you mean 'simulation'?"),
        ("{name: simulation, pahts: 100}", "did you mean 'paths'?"),
        ("{name: simulation, paths: many}", "`paths` must be an integer"),
        ("{name: simulation, dt: 0.3}", "`duration` = 1.0 must be a whole number"),
        ("{name: simulation, scheme: baoab}", "BAOAB"),
    ],
    ids=["no-name", "unknown-name", "unknown-key", "type", "range", "scheme"],
)
def test_d6_what_cannot_be_simulated_is_refused_before_anything_is_made(
    command: Run, tmp_path: Path, online: str, message: str
) -> None:
    command("fit", "ornstein-uhlenbeck", f"--online={online}", "--out", tmp_path / "run").check_error(2, message)
    assert not (tmp_path / "run").exists()


def test_a_directory_with_other_files_or_of_another_process_is_left_alone(command: Run, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").write_text("mine")
    command(*FIT, "--out", tmp_path / "notes").check_error(2, "holds other files and no run")
    assert files(tmp_path / "notes") == {"notes.txt"}
    assert command(*FIT, "--out", tmp_path / "run").code == 0
    other = ["fit", "double-well", *TRAINING, *ONLINE, "--out", tmp_path / "run"]
    command(*other).check_error(2, "another process", "ornstein-uhlenbeck -> double-well")


def test_a_target_that_is_neither_run_nor_process_is_refused(command: Run, tmp_path: Path) -> None:
    command("fit", tmp_path / "nothing").check_error(3, "is no run")
