"""What docs/clusters.md shows works as it stands, and so does the example of a study."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from physcore.command import main
from physcore.configuration import parse_yaml
from physcore.registry import names
from physcore.study import Grid, Study
from physcore.study.command import StudyCommand

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "data" / "double_well_study.yaml"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def test_the_study_that_is_shown_has_as_many_cells_as_is_said() -> None:
    (shown,) = blocks("yaml")
    grid = Grid.parsed(**parse_yaml(shown))
    sizes = " x ".join(str(count) for count in grid.shape)
    assert f"{sizes} = {grid.size} cells" in TEXT
    configurations = [cell.configuration for cell in grid.cells()]
    assert all({"simulate", "fit", "compare"} <= run.keys() for run in configurations)
    assert {run["fit"]["objective"]["variance_reduction"] for run in configurations} == {"none", "antithetic"}


def test_the_example_can_be_run_and_is_as_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = Study(**StudyCommand().base(str(EXAMPLE))["study"]).grid
    assert {axis.name: axis.labels for axis in grid.axes} == {
        "lag": (0.02, 0.1),
        "reduction": ("none", "antithetic"),
        "seed": (1, 2, 3),
    }
    assert f"The example has {grid.size} short runs" in TEXT
    assert f"{grid.size} short runs" in EXAMPLE.read_text()
    assert grid.cells()[0].name in TEXT
    # With --list every cell is checked as before it is run.
    assert main(["study", str(EXAMPLE), "--list"]) == 0
    assert capsys.readouterr().out.count("simulate fit compare  new") == 12
    assert not list(tmp_path.iterdir())


def test_commands_and_files_that_are_named_exist() -> None:
    for command, target in re.findall(r"physcore ([a-z]+) ([\w./-]+)", "\n".join([*blocks("bash"), TEXT])):
        if target.startswith("data/"):
            assert command in names("physcore.commands")
            assert (ROOT / target).is_file(), target


def test_the_python_that_is_shown_names_what_there_is() -> None:
    (shown,) = blocks("python")
    namespace: dict[str, object] = {}
    exec("\n".join(line for line in shown.splitlines() if line.startswith("from ")), namespace)
    assert {"open_study", "study_error"} <= namespace.keys()


PATIENCE = 240.0  # seconds, for a machine that is busy with other things
SCRIPTS = [block for block in blocks("bash") if "#SBATCH" in block]


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Callable[[str, str], subprocess.Popen[str]]]:
    """Start a job script where ``srun`` and ``mpiexec`` do as they are told."""
    if shutil.which("bash") is None:
        pytest.skip("no bash")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").write_text("")
    jobs: list[subprocess.Popen[str]] = []

    def start(script: str, launcher: str) -> subprocess.Popen[str]:
        for name, does in (("mpiexec", launcher), ("srun", launcher), ("module", ""), ("scontrol", "")):
            (tmp_path / name).write_text(f'#!/bin/bash\necho "{name} $*"\n{does}\n')
            (tmp_path / name).chmod(0o755)
        (tmp_path / "job.sh").write_text(script)
        started = subprocess.Popen(
            ["bash", "job.sh"],
            cwd=tmp_path,
            env={"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_JOB_ID": "77", "SLURM_NTASKS": "4"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        jobs.append(started)
        return started

    yield start
    for started in jobs:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)


@pytest.mark.parametrize("script", SCRIPTS, ids=["node", "nodes", "gpus"])
@pytest.mark.parametrize(("code", "again"), [(75, True), (0, False), (4, False)])
def test_a_job_script_starts_again_what_was_stopped_and_nothing_else(
    job: Callable[[str, str], subprocess.Popen[str]], script: str, code: int, again: bool
) -> None:
    started = job(script, f"exit {code}")
    out, err = started.communicate(timeout=PATIENCE)
    assert started.returncode == code, err
    assert "physcore study study.yaml" in out
    assert ("scontrol requeue 77" in out) == again
    assert not err
    assert "--signal" in script
    assert "OMP_NUM_THREADS=1" in script


def test_the_script_of_one_node_hands_the_signal_on_and_waits(
    job: Callable[[str, str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    started = job(SCRIPTS[0], "trap 'sleep 0.2; exit 75' USR1\ntouch ready\nwhile true; do sleep 0.02; done")
    end = time.monotonic() + PATIENCE
    while not (tmp_path / "ready").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    started.send_signal(signal.SIGUSR1)
    out, err = started.communicate(timeout=PATIENCE)
    assert started.returncode == 75, err
    assert "scontrol requeue 77" in out
