"""One rank alone keeps to the contract of a communicator, with and without MPI."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from physcore import SerialCommunicator, world
from physcore.communicator import LAUNCHER_SIZES, abort_all, launched_ranks

ALONE = {name: value for name, value in os.environ.items() if name not in LAUNCHER_SIZES}
SIMULATE = [
    "simulate",
    "double-well",
    "--paths",
    "10",
    "--duration",
    "0.1",
    "--dt",
    "0.1",
    "--save_every",
    "1",
    "--out",
]


def test_a_single_rank_keeps_to_the_contract() -> None:
    alone = SerialCommunicator()
    assert (alone.rank, alone.size) == (0, 1)
    assert alone.broadcast("x") == "x"
    assert alone.gather(3) == [3]
    assert alone.any(True)
    assert not alone.any(False)
    assert list(alone.share(4)) == [0, 1, 2, 3]
    assert alone.map(str, 3) == ["0", "1", "2"]
    assert alone.once(lambda: "x") == "x"
    buffer = np.arange(3.0)
    alone.sum_in_place(buffer)
    assert buffer.tolist() == [0, 1, 2]
    alone.barrier()
    alone.agree(None, "nothing")
    with pytest.raises(KeyError):
        alone.agree(KeyError("x"), "the work")


def test_without_a_launcher_the_world_is_one_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LAUNCHER_SIZES:
        monkeypatch.delenv(name, raising=False)
    assert launched_ranks() == 1
    assert isinstance(world(), SerialCommunicator)
    abort_all(3)


@pytest.mark.parametrize("name", LAUNCHER_SIZES)
def test_a_launcher_is_noticed_by_its_variables(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "3")
    assert launched_ranks() == 3
    monkeypatch.setenv(name, "many")
    assert launched_ranks() == 1


def test_f4_f5_one_rank_needs_no_mpi_and_several_say_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LAUNCHER_SIZES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "mpi4py", None)  # not installed
    assert isinstance(world(), SerialCommunicator)
    monkeypatch.setenv("PMI_SIZE", "2")
    with pytest.raises(ValueError, match=r"physcore\[mpi\]"):
        world()


def run(tmp_path: Path, source: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    program = source + "\nimport sys\nfrom physcore.command import main\nsys.exit(main(sys.argv[1:]))\n"
    return subprocess.run(
        [sys.executable, "-c", program, *SIMULATE, "run"],
        env={**ALONE, "OMP_NUM_THREADS": "1", **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


STUB = "import os, sys\nos.makedirs('stub/mpi4py')\nopen('stub/mpi4py/__init__.py', 'w').close()\n"
STUB += "open('stub/mpi4py/MPI.py', 'w').write('raise RuntimeError(\"cannot load MPI library\")')\n"
STUB += "sys.path.insert(0, 'stub')\n"


def test_f4_a_missing_mpi_library_is_no_matter_for_one_rank(tmp_path: Path) -> None:
    done = run(tmp_path, STUB, {})
    assert done.returncode == 0, done.stderr


def test_f4_a_missing_mpi_library_is_one_line_for_several_ranks(tmp_path: Path) -> None:
    done = run(tmp_path, STUB, {"PMI_SIZE": "2", "PMI_RANK": "0"})
    assert done.returncode == 2, done.stderr
    assert "physcore[mpi]" in done.stderr
    assert "cannot load MPI library" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"])
def test_f6_processes_of_a_foreign_launcher_do_not_each_write_the_run(tmp_path: Path, name: str) -> None:
    pytest.importorskip("mpi4py.run", reason="mpi4py is not installed")
    done = run(tmp_path, "", {name: "2"})
    assert done.returncode == 2, done.stderr
    assert "launcher" in done.stderr
    assert not (tmp_path / "run").exists()
