"""Two ranks of MPI: a run, a fit on fresh trajectories and a discrepancy are what one rank makes of them.

One job does it all, and at last a rank fails. Two ranks of torchrun learn the same as those of MPI.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from analysis import kernel_stein_discrepancy
from analysis.stein import pair_sums
from physcore import SerialCommunicator
from physcore.command import main
from physcore.score import load_score
from physcore.storage import Manifest
from physcore.storage.netcdf import read_tree
from simulations import ActiveSwimmer, FreshSimulation, OrnsteinUhlenbeck, simulate

Run = Callable[..., Any]
SIMULATE = {"paths": 2000, "paths_per_block": 1024, "duration": 1.0, "dt": 0.05, "save_every": 5}
FIT = {"training.steps": 40, "training.batch": 128, "training.validate_every": 20}
COMPARE = {"paths": 1000, "times": "[1.0]"}
ONLINE = [
    "--online={name: simulation, paths: 2000, duration: 1.0, dt: 0.05, save_every: 5}",
    "--training.steps=30",
    "--training.batch=128",
    "--training.learning_rate=1e-3",
    "--training.validate_every=15",
    "--training.steps_per_round=10",
    "--objective.lag=0.5",
    "--seed=3",
]


def options(section: str, values: dict[str, Any]) -> list[str]:
    return [f"--{section}{name}={value}" for name, value in values.items()]


RUN = [*options("simulate.", SIMULATE), *options("fit.", FIT), *options("compare.", COMPARE), "--seed=3"]
PROGRAM = f"""
import hashlib, json, torch
import physcore.command, simulations.block
from analysis import kernel_stein_discrepancy
from analysis.stein import pair_sums
from physcore.errors import NumericalError
from physcore.score.objectives import LocalDenoising
from simulations import ActiveSwimmer, FreshSimulation, OrnsteinUhlenbeck, simulate

ranks, fit = world(), ["fit", "ornstein-uhlenbeck", *{ONLINE}]
torch.set_num_threads(1)
import analysis.plots.run
drawn, save = [], analysis.plots.run.save_figure
def noted(figure, path): save(figure, path), drawn.append(path.name)
analysis.plots.run.save_figure = noted
begin("run")
assert main(["run", "ornstein-uhlenbeck", *{RUN}, "--out=run"]) == 0
begin("figures")
names = ranks.gather(drawn)
if ranks.rank == 0: print(json.dumps(names))
begin("comparison")
told(ranks)
begin("fit")
assert main([*fit, "--out=fit"]) == 0

begin("round")
fresh = FreshSimulation(paths=3000, duration=0.4, dt=0.01, save_every=4)
data = fresh.round(ActiveSwimmer(), 2, seed=3, device=torch.device("cpu"), communicator=ranks)
digests = ranks.gather(hashlib.sha256(data["x"].values.tobytes() + data["v"].values.tobytes()).hexdigest())
if ranks.rank == 0: print(*digests)

begin("stein")
pair_sums.MOST_ROWS = 64
trap = OrnsteinUhlenbeck.rotating_trap(stiffness=1.0, rotation=0.5)
data = simulate(trap, paths=300, duration=0.5, dt=0.25, scheme="exact-linear", dtype="float64", seed=2)
found = kernel_stein_discrepancy(trap, trap, data, replicates=64, communicator=ranks)
text = json.dumps({{name: [float(x).hex() for x in found[name].values.flat] for name in found}})
assert ranks.gather(text) == [text] * ranks.size
if ranks.rank == 0: print(text)

loss, calls = LocalDenoising.loss, []
def failing(self, model, samples, generator):
    calls.append(1)
    bad = ranks.rank == 1 and 4 < len(calls) <= until
    return loss(self, model, samples, generator) * (torch.nan if bad else 1.0)
LocalDenoising.loss, until = failing, 8
begin("good")
assert main([*fit, "--out=good"]) == 0
until, statuses, real = 10**9, [], physcore.command.abort_all
calls.clear()
physcore.command.abort_all = statuses.append
begin("bad")
assert main([*fit, "--out=bad"]) == 4
assert statuses == [4]

def diverging(*arguments): raise NumericalError("a block diverged")
if ranks.rank == 1: simulations.block.BlockSimulator.begin = diverging
physcore.command.abort_all = real
begin("diverged")
sys.exit(main(["simulate", "ornstein-uhlenbeck", *{options("", SIMULATE)}, "--out=diverged"]))
"""


@pytest.fixture(scope="module")
def job(mpiexec: Run, comparison: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    ended = mpiexec(tmp_path_factory.mktemp("two"), 2, comparison + PROGRAM)
    assert (ended.folder / "diverged.err1").exists(), ended.err
    return ended


def sha256(run: Path) -> dict[str, str]:
    files = sorted((run / "trajectories").glob("block*.nc"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def losses(run: Path) -> xr.Dataset:
    return xr.load_dataset(run / "history.nc").drop_vars("elapsed")


def test_a_whole_run_of_two_ranks_agrees_with_that_of_one(
    job: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = str(tmp_path / "one"), job.folder / "run"
    assert main(["simulate", "ornstein-uhlenbeck", *options("", SIMULATE), "--seed=3", "--out", one]) == 0
    assert main(["fit", one, *options("", FIT)]) == 0
    spoken = capsys.readouterr().out.splitlines()
    said = job.said("run")
    lines = said.splitlines()
    assert [line.replace(" run", f" {one}") for line in lines[:2]] == spoken, "the ranks do not speak with one voice"
    assert sum(line.startswith("compare:") for line in lines) == 1
    assert [line for line in lines if line.startswith("report:")] == ["report: run/report.html"]
    assert (two / "report.html").is_file()
    assert sha256(two) == sha256(tmp_path / "one")
    first, second = (xr.load_dataset(path / "history.nc") for path in (tmp_path / "one", two))
    np.testing.assert_array_equal(first["step"], second["step"])
    # The batches are the same; each rank draws the noise of its own part, so the losses agree as those of two runs
    # with other noise do: on the same held-out samples to a hundredth, on the noisy batches to a tenth.
    np.testing.assert_allclose(second["validation_loss"], first["validation_loss"], rtol=0.02)
    np.testing.assert_allclose(second["training_loss"][-1], first["training_loss"][-1], rtol=0.1)
    comparison = xr.load_dataset(two / "comparison.nc", decode_times=False)
    assert float(comparison["value"].sel(selection="full", time=1.0).squeeze()) < 0.05
    drawn = json.loads(job.said("figures"))
    assert abs(len(drawn[0]) - len(drawn[1])) <= 1
    assert sorted(drawn[0] + drawn[1]) == sorted(path.name for path in (two / "figures").glob("*.png"))
    assert said.count("entropy production rate (all variables even under time reversal)") == 1
    monkeypatch.setattr("analysis.plots.run.save_figure", lambda *_: None)
    together = read_tree(two / "comparison.nc")
    assert main(["compare", str(two), "--overwrite"]) == 0
    alone = read_tree(two / "comparison.nc")
    assert {"stein-identities", "fisher-information", "entropy-production-rate"} <= set(alone.children)
    for name, node in alone.subtree_with_keys:
        xr.testing.assert_identical(together[name].to_dataset(inherit=False), node.to_dataset(inherit=False))


def test_e11_two_ranks_share_a_comparison_and_find_the_same_bits_as_one(job: Any, shared: Run) -> None:
    shared(job.said("comparison"))


def test_e11_a_round_of_fresh_trajectories_is_the_same_bits_for_any_number_of_ranks(job: Any) -> None:
    fresh = FreshSimulation(paths=3000, duration=0.4, dt=0.01, save_every=4)
    alone = fresh.round(ActiveSwimmer(), 2, seed=3, device=torch.device("cpu"), communicator=SerialCommunicator())
    digest = hashlib.sha256(alone["x"].values.tobytes() + alone["v"].values.tobytes()).hexdigest()
    assert job.said("round").split() == [digest, digest]


def test_ranks_of_torchrun_and_of_mpi_learn_the_same(job: Any, torchrun: Run, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    words = ["fit", "ornstein-uhlenbeck", *ONLINE, "--out"]
    assert main([*words, str(one)]) == 0
    code, said = torchrun(tmp_path, 2, *words, other)
    assert code == 0, said
    assert said.count("fit:") == job.said("fit").count("fit:") == 1, "more than rank 0 spoke"
    # Two ranks add two gradients, in which there is no order: the same to the last bit but for the libraries.
    first, second, alone = losses(job.folder / "fit"), losses(other), losses(one)
    np.testing.assert_allclose(second["validation_loss"], first["validation_loss"], rtol=1e-5)
    np.testing.assert_allclose(second["training_loss"], first["training_loss"], rtol=1e-5)
    states = load_score(job.folder / "fit").state_dict()
    for name, value in load_score(other).state_dict().items():
        np.testing.assert_allclose(value, states[name], rtol=1e-3, atol=1e-5, err_msg=name)
    # A single rank draws other noise for the same states; see the whole run of two ranks.
    np.testing.assert_allclose(alone["validation_loss"], first["validation_loss"], rtol=0.002)


def test_e5_what_is_not_finite_on_one_rank_is_skipped_by_all_and_too_much_of_it_ends_all(job: Any) -> None:
    np.testing.assert_array_equal(losses(job.folder / "good")["skipped"], [4, 0])
    assert any("on rank 1, in 11 of the 15 steps before step 15" in text for text in job.complained("bad"))


def test_f1_e5_an_error_on_one_rank_ends_the_whole_job_and_files_stay_whole(job: Any) -> None:
    assert job.code == 4, job.err
    assert "physcore (rank 1): a block diverged" in job.complained("diverged")[1]
    for path in (job.folder / "diverged" / "trajectories").glob("block*.nc"):
        with xr.open_dataset(path, decode_times=False) as segment:
            assert np.isfinite(segment[["x0", "x1"]].to_array()).all()
    assert not Manifest.read(job.folder / "diverged").complete


def test_two_ranks_find_the_same_bits_of_a_discrepancy_as_one(job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_sums, "MOST_ROWS", 64)
    trap = OrnsteinUhlenbeck.rotating_trap(stiffness=1.0, rotation=0.5)
    data = simulate(trap, paths=300, duration=0.5, dt=0.25, scheme="exact-linear", dtype="float64", seed=2)
    alone = kernel_stein_discrepancy(trap, trap, data, replicates=64)
    assert json.loads(job.said("stein")) == {name: [float(x).hex() for x in alone[name].values.flat] for name in alone}
