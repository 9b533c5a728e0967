"""Faults D: processes made of another process and a map, or of the samples in a file, on the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from physcore.storage import open_run

Run = Callable[..., Any]
SIMULATE = "seed: 3\nsimulate: {paths: 1024, duration: 0.1, dt: 0.01, save_every: 5, frames_per_segment: 1}\n"
SEEN = "process: transformed\nparameters:\n  process: {name: double-well, barrier: 2}\n  bijection: {name: tanh}\n"
NOISED = "process: noised-samples\nparameters: {samples: points.csv, beta_start: 0.1, beta_end: 10}\n"
POINTS = "a,b\n0,0.1\n1,0.3\n-0.5,2\n2,-1\n"


@pytest.fixture(autouse=True)
def points(tmp_path: Path) -> Path:
    path = tmp_path / "points.csv"
    path.write_text(POINTS)
    return path


@pytest.mark.parametrize("text", [SEEN, NOISED], ids=["transformed", "noised samples"])
def test_it_is_simulated_continued_and_read_back(
    command: Run, tmp_path: Path, sha256: Run, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "mine.yaml").write_text(text + SIMULATE)
    assert command("simulate", "mine.yaml").code == 0
    run = tmp_path / "runs" / "mine"
    before = sha256(run)
    printed = command("simulate", "mine.yaml", "--print_config").out
    (tmp_path / "printed.yaml").write_text(printed)
    next((run / "trajectories").glob("*0001.nc")).unlink()
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest | {"checksums": {}}))
    assert command("simulate", "printed.yaml", "--out", run).code == 0
    assert sha256(run) == before
    monkeypatch.chdir(tmp_path.parent)
    trajectories = open_run(run)
    assert trajectories.sizes["path"] == 1024
    assert set(trajectories.data_vars) == ({"y0"} if "tanh" in text else {"a", "b"})


def test_a_run_knows_that_its_file_has_changed(command: Run, tmp_path: Path, points: Path) -> None:
    (tmp_path / "mine.yaml").write_text(NOISED + SIMULATE)
    assert command("simulate", "mine.yaml").code == 0
    points.write_text(POINTS + "3,3\n")
    command("fit", "runs/mine").check_error(3, "points.csv has changed", "SHA-256")
    command("simulate", "mine.yaml").check_error(2, "different run", "sha256")


def test_what_needs_additive_noise_is_refused_before_anything_is_simulated(command: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(SEEN + SIMULATE + "fit: {objective: {name: local-denoising, lag: 0.05}}\n")
    command("run", "mine.yaml").check_error(2, "noise that depends on the state")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("parameters", "code", "part"),
    [
        ("{process: {name: duble-well}, bijection: tanh}", 2, "did you mean 'double-well'"),
        ("{process: {name: double-well, barier: 2}, bijection: tanh}", 2, "did you mean 'barrier'"),
        ("{process: 3, bijection: tanh}", 2, "`process` must be a mapping with a `name`"),
        ("{process: double-well, bijection: {name: tan}}", 2, "did you mean 'tanh'"),
        ("{process: double-well, bijection: {name: tanh, scale: -1}}", 2, "scale"),
        ("{process: double-well, bijection: polar}", 2, "`bijection` has 2 components, the process has 1"),
        ("{process: double-well, bijection: tanh, variables: [{nam: z}]}", 2, "`variables` must be a list"),
        ("{process: double-well, bijection: tanh, variables: [{name: z, parity: 0}]}", 2, "parity"),
        ("{samples: nowhere.csv}", 3, "nowhere.csv: No such file"),
        ("{samples: points.csv, names: [c]}", 2, "`names` must be among a, b"),
        ("{samples: 3}", 2, "samples"),
    ],
)
def test_d1_what_they_cannot_be_made_of_is_named(
    command: Run, tmp_path: Path, parameters: str, code: int, part: str
) -> None:
    process = "noised-samples" if "samples" in parameters else "transformed"
    (tmp_path / "mine.yaml").write_text(f"process: {process}\nparameters: {parameters}\n{SIMULATE}")
    for verb in ("simulate", "run"):
        command(verb, "mine.yaml").check_error(code, part)
    assert not (tmp_path / "runs").exists()


def test_the_variables_of_a_transformed_process_are_named_in_a_file(command: Run, tmp_path: Path) -> None:
    text = SEEN + "  variables: [{name: z, units: m}]\n" + SIMULATE
    (tmp_path / "mine.yaml").write_text(text)
    assert command("simulate", "mine.yaml").code == 0
    assert open_run(tmp_path / "runs" / "mine")["z"].attrs["units"] == "m"
