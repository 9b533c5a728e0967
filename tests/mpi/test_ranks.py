"""The same results for any number of ranks, and a failing rank ends the whole job."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from physcore.command import main
from physcore.errors import Stopped
from physcore.stopping import StopRequest
from physcore.storage import Manifest
from physcore.storage.netcdf import read_tree
from simulations import ActiveSwimmer, simulate

Run = Callable[..., Any]
SETTINGS: dict[str, Any] = {
    "paths": 2500,
    "duration": 0.4,
    "dt": 0.01,
    "save_every": 4,
    "paths_per_block": 2048,
    "frames_per_segment": 3,
    "seed": 3,
}
WORDS = ["simulate", "active-swimmer", *(f"--{name}={value}" for name, value in SETTINGS.items())]


def sha256(run: Path) -> dict[str, str]:
    files = sorted((run / "trajectories").glob("block*.nc"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def serial(tmp_path: Path) -> dict[str, str]:
    """The bits of a run of one rank."""
    simulate(ActiveSwimmer(), **SETTINGS, out=tmp_path / "serial")
    digests = sha256(tmp_path / "serial")
    assert len(digests) == 2 * 4
    return digests


def test_e11_a7_f7_a_run_begun_by_one_rank_is_finished_by_more_ranks_than_blocks(
    mpiexec: Run, serial: dict[str, str], tmp_path: Path, stop_after: Callable[[int], StopRequest]
) -> None:
    with pytest.raises(Stopped):
        simulate(ActiveSwimmer(), **SETTINGS, out=tmp_path / "run", stop=stop_after(5))
    begun = sha256(tmp_path / "run")
    assert len(begun) == 5
    ended = mpiexec(3, *WORDS, "--out", "run")
    assert ended.code == 0, ended.err
    assert sha256(tmp_path / "run") == serial
    assert Manifest.read(tmp_path / "run").checksums == Manifest.read(tmp_path / "serial").checksums
    assert len(ended.out.splitlines()) == 1, "more than rank 0 spoke"
    assert ended.err == ""


SIMULATE = {"paths": 2000, "paths_per_block": 1024, "duration": 1.0, "dt": 0.05, "save_every": 5}
FIT = {"training.steps": 100, "training.batch": 128, "training.validate_every": 50}
COMPARE = {"paths": 1000, "times": "[1.0]"}


def options(section: str, values: dict[str, Any]) -> list[str]:
    return [f"--{section}{name}={value}" for name, value in values.items()]


def test_a_whole_run_of_two_ranks_agrees_with_that_of_one(
    mpiexec: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = str(tmp_path / "one"), tmp_path / "two"
    assert main(["simulate", "ornstein-uhlenbeck", *options("", SIMULATE), "--seed=3", "--out", one]) == 0
    assert main(["fit", one, *options("", FIT)]) == 0
    spoken = capsys.readouterr().out.splitlines()
    words = [*options("simulate.", SIMULATE), *options("fit.", FIT), *options("compare.", COMPARE)]
    ended = mpiexec(2, "run", "ornstein-uhlenbeck", *words, "--seed=3", "--out", two)
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert [line.replace(str(two), one) for line in lines[:2]] == spoken, "the ranks do not speak with one voice"
    assert sum(line.startswith("compare:") for line in lines) == 1
    assert [line for line in lines if line.startswith("report:")] == [f"report: {two / 'report.html'}"]
    assert (two / "report.html").is_file()
    assert sha256(two) == sha256(tmp_path / "one")
    first, second = (xr.load_dataset(tmp_path / name / "history.nc") for name in ("one", "two"))
    np.testing.assert_array_equal(first["step"], second["step"])
    # The batches are the same; each rank draws the noise of its own part, so the losses agree as those of two runs
    # with other noise do: on the same held-out samples to a hundredth, on the noisy batches to a tenth.
    np.testing.assert_allclose(second["validation_loss"], first["validation_loss"], rtol=0.02)
    np.testing.assert_allclose(second["training_loss"][-1], first["training_loss"][-1], rtol=0.1)
    comparison = xr.load_dataset(two / "comparison.nc", decode_times=False)
    assert float(comparison["value"].sel(selection="full", time=1.0).squeeze()) < 0.05
    assert len(list((two / "figures").glob("*.png"))) >= 3
    assert ended.out.count("entropy production rate (all variables even under time reversal)") == 1
    monkeypatch.setattr("analysis.plots.run.save_figure", lambda *_: None)
    together = read_tree(two / "comparison.nc")
    assert main(["compare", str(two), "--overwrite"]) == 0
    alone = read_tree(two / "comparison.nc")
    assert {"stein-identities", "fisher-information", "entropy-production-rate"} <= set(alone.children)
    for name, node in alone.subtree_with_keys:
        xr.testing.assert_identical(together[name].to_dataset(inherit=False), node.to_dataset(inherit=False))


def failing(action: str) -> str:
    """Source that makes rank 1 fail inside its first block."""
    return (
        "import os, signal, sys, simulations.block\n"
        "from physcore.errors import NumericalError\n"
        "def fail(*arguments):\n"
        f"    {action}\n"
        "if os.environ['PMI_RANK'] == '1': simulations.block.BlockSimulator.begin = fail\n"
    )


@pytest.mark.parametrize(
    ("action", "code", "said"),
    [
        ("raise NumericalError('a block diverged')", 4, r"physcore \(rank 1\): a block diverged"),
        ("sys.exit(3)", 3, ""),
        ("os.kill(os.getpid(), signal.SIGKILL)", None, ""),
    ],
    ids=["f1-e5-error", "f2-exit", "f3-killed"],
)
def test_an_error_on_one_rank_ends_the_whole_job(
    mpiexec: Run, tmp_path: Path, action: str, code: int | None, said: str
) -> None:
    ended = mpiexec(2, *WORDS, "--out", "run", source=failing(action))  # or it would wait for ever
    assert ended.code == code if code is not None else ended.code != 0, ended.err
    assert re.search(said, ended.err, re.DOTALL), ended.err
    for path in (tmp_path / "run" / "trajectories").glob("block*.nc"):
        with xr.open_dataset(path, decode_times=False) as segment:
            assert np.isfinite(segment["x"]).all()
    assert not Manifest.read(tmp_path / "run").complete


def test_a_bad_setting_is_refused_on_all_ranks_before_anything_is_made(mpiexec: Run, tmp_path: Path) -> None:
    ended = mpiexec(2, *WORDS, "--paths=0", "--out", "run")
    assert ended.code == 2
    assert "`paths`" in ended.err
    assert not (tmp_path / "run").exists()


def test_what_rank_0_alone_finds_wrong_ends_the_job_too(mpiexec: Run, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    ended = mpiexec(2, *WORDS, "--out", "run")
    assert ended.code == 5
    assert "is a file" in ended.err
    assert (tmp_path / "run").read_text() == "mine"


CONTRACT = """
import sys
import numpy as np
from physcore.communicator import MPICommunicator, world
ranks = world()
assert isinstance(ranks, MPICommunicator) and ranks.size == 3, ranks
rank = ranks.rank
assert ranks.gather(10 * rank) == [0, 10, 20]
assert ranks.broadcast({"from": rank}) == {"from": 0}
for dtype in (np.float32, np.float64, np.int32, np.int64):
    buffer = np.arange(4, dtype=dtype) * (rank + 1)
    ranks.sum_in_place(buffer)
    assert buffer.tolist() == [0, 6, 12, 18] and buffer.dtype == dtype
for bad in (np.arange(3, dtype=np.int8), np.zeros((4, 4))[:, ::2]):
    try:
        ranks.sum_in_place(bad)
    except TypeError:
        pass
    else:
        raise AssertionError("accepted")
assert ranks.any(rank == 2) and not ranks.any(False)
parts = ranks.gather(list(ranks.share(8)))
assert sorted(sum(parts, [])) == list(range(8)) and parts[1] == [1, 4, 7]
ranks.barrier()
ranks.agree(None, "nothing")
try:
    ranks.agree(ValueError("mine") if rank == 1 else None, "the work")
except ValueError as error:
    assert rank == 1 and str(error) == "mine"
except RuntimeError as error:
    assert rank != 1 and "the work failed on rank 1: ValueError: mine" in str(error)
else:
    raise AssertionError("nobody complained")
print("fine", flush=True)
sys.exit(0)
"""


def test_the_ranks_of_mpi_keep_to_the_contract_of_a_communicator(mpiexec: Run) -> None:
    ended = mpiexec(3, source=CONTRACT)
    assert ended.code == 0, ended.err
    assert ended.out.count("fine") == 3
