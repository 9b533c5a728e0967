"""Fits on several ranks: of MPI and of torchrun alike, on stored and on fresh trajectories."""

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from physcore import SerialCommunicator
from physcore.command import main
from physcore.score import load_score
from simulations import ActiveSwimmer, FreshSimulation

Run = Callable[..., Any]

ROUND = """
import hashlib, sys, torch
from physcore.communicator import world
from simulations import ActiveSwimmer, FreshSimulation
fresh = FreshSimulation(paths=3000, duration=0.4, dt=0.01, save_every=4)
data = fresh.round(ActiveSwimmer(), 2, seed=3, device=torch.device("cpu"), communicator=world())
print(hashlib.sha256(data["x"].values.tobytes() + data["v"].values.tobytes()).hexdigest())
sys.exit(0)
"""
FIT = [
    "--online={name: simulation, paths: 2000, duration: 1.0, dt: 0.05, save_every: 5}",
    "--training.steps=100",
    "--training.batch=128",
    "--training.validate_every=50",
    "--training.steps_per_round=30",
    "--objective.lag=0.5",
    "--seed=3",
]
PROGRAM = "import sys\nfrom physcore.command import main\nsys.exit(main(sys.argv[1:]))\n"


@pytest.fixture
def torchrun(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Run the command line on ranks of torchrun; return how it ended and what it said."""

    def run(ranks: int, *words: object) -> tuple[int, str]:
        (tmp_path / "program.py").write_text(PROGRAM)
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
        job = subprocess.Popen(
            [*launcher, "program.py", *(str(word) for word in words)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            said, _ = job.communicate(timeout=600)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(job.pid, signal.SIGKILL)
        return job.returncode, said

    return run


def losses(run: Path) -> xr.Dataset:
    return xr.load_dataset(run / "history.nc").drop_vars("elapsed")


def test_e11_a_round_of_fresh_trajectories_is_the_same_bits_for_any_number_of_ranks(mpiexec: Run) -> None:
    fresh = FreshSimulation(paths=3000, duration=0.4, dt=0.01, save_every=4)
    alone = fresh.round(ActiveSwimmer(), 2, seed=3, device=torch.device("cpu"), communicator=SerialCommunicator())
    ended = mpiexec(2, source=ROUND)
    digest = hashlib.sha256(alone["x"].values.tobytes() + alone["v"].values.tobytes()).hexdigest()
    assert ended.out.split() == [digest, digest], ended.err


def test_ranks_of_torchrun_and_of_mpi_learn_the_same(mpiexec: Run, torchrun: Run, tmp_path: Path) -> None:
    one, two, other = (tmp_path / name for name in ("one", "two", "other"))
    words = ["fit", "ornstein-uhlenbeck", *FIT, "--out"]
    assert main([*words, str(one)]) == 0
    ended = mpiexec(2, *words, two)
    assert ended.code == 0, ended.err
    code, said = torchrun(2, *words, other)
    assert code == 0, said
    assert said.count("fit:") == 1, "more than rank 0 spoke"
    # Two ranks add two gradients, in which there is no order: the same to the last bit but for the libraries.
    first, second, alone = losses(two), losses(other), losses(one)
    np.testing.assert_allclose(second["validation_loss"], first["validation_loss"], rtol=1e-5)
    np.testing.assert_allclose(second["training_loss"], first["training_loss"], rtol=1e-5)
    states = load_score(two).state_dict()
    for name, value in load_score(other).state_dict().items():
        np.testing.assert_allclose(value, states[name], rtol=1e-3, atol=1e-5, err_msg=name)
    # A single rank draws other noise for the same states; see the whole run of two ranks.
    np.testing.assert_allclose(alone["validation_loss"], first["validation_loss"], rtol=0.02)


def test_e5_what_is_not_finite_on_one_rank_is_skipped_by_all_and_too_much_of_it_ends_all(
    mpiexec: Run, tmp_path: Path
) -> None:
    source = (
        "import os, torch\n"
        "from physcore.score.objectives import LocalDenoising\n"
        "loss, calls, until = LocalDenoising.loss, [], int(os.environ.get('UNTIL', 10**9))\n"
        "def failing(self, model, samples, generator):\n"
        "    calls.append(1)\n"
        "    bad = os.environ['PMI_RANK'] == '1' and 20 < len(calls) <= until\n"
        "    return loss(self, model, samples, generator) * (torch.nan if bad else 1.0)\n"
        "LocalDenoising.loss = failing\n"
    )
    words = ["fit", "ornstein-uhlenbeck", *FIT, "--out"]
    ended = mpiexec(2, *words, "bad", source=source)
    assert ended.code == 4
    assert "on rank 1, in 30 of the 50 steps before step 50" in ended.err
    ended = mpiexec(2, *words, "good", source="import os\nos.environ['UNTIL'] = '24'\n" + source)
    assert ended.code == 0, ended.err
    np.testing.assert_array_equal(losses(tmp_path / "good")["skipped"], [4, 0])
