"""A study on one, two and three ranks: the same numbers, and a failing cell that costs the others nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import xarray as xr

from physcore.study import open_study

Run = Callable[..., Any]

STUDY = """\
run:
  process: ornstein-uhlenbeck
  seed: 3
  simulate: {paths: 1024, duration: 1.0, dt: 0.05, save_every: 5}
  fit: {objective: {name: local-denoising, lag: 0.5}, training: {steps: 4, batch: 32}}
  compare: {references: [{name: exact}], times: [1.0], paths: 200, blocks: 4}
axes:
  seed: [1, 2, 3]
"""

# One job of three ranks, for what it costs to start them. It is split: two ranks and one rank have a study each. Then
# all three have one, in which a cell fails on whatever rank it is, and finish it. Then they share cells.
PROGRAM = """
import sys
import numpy as np
import analysis.plots, analysis.plots.study
import physcore.command
from physcore import world
from physcore.distributed import joined
from physcore.errors import NumericalError
from physcore.score.command import FitCommand

def drawn(folder, *rest): folder.figures.mkdir(exist_ok=True)
analysis.plots.draw_run, analysis.plots.study.draw_study = drawn, lambda study, folder: None

ranks = world()
for all_ranks in (joined(ranks), ranks):  # of torch.distributed and of MPI
    part = all_ranks.split(0 if ranks.rank < 2 else 1)
    assert (part.rank, part.size) == ((ranks.rank, 2) if ranks.rank < 2 else (0, 1))
    assert part.gather(ranks.rank) == ([0, 1] if ranks.rank < 2 else [2])
    assert part.broadcast(ranks.rank) == (0 if ranks.rank < 2 else 2)
    assert part.rank_on_host() == ranks.rank  # each has a GPU of its own
    buffer = np.array([1.0 + ranks.rank])
    part.sum_in_place(buffer)
    assert buffer == 3
assert part.split(0).rank_on_host() == ranks.rank

def study(communicator, *words):
    physcore.command.world = lambda: communicator
    return physcore.command.main(["study", "study.yaml", *words])

aborting, real = physcore.command.abort_all, FitCommand._fit
physcore.command.abort_all = lambda status: None  # the job goes on
assert study(part, "--out", f"of{part.size}") == 0

def failing(self, job):
    if job.folder.path.name == "seed=2": raise NumericalError("it diverged")
    return real(self, job)
FitCommand._fit = failing
codes = ranks.gather(study(ranks, "--out", "of3"))
assert codes == [4, 0, 0], codes
FitCommand._fit = real
assert study(ranks, "--out", "of3") == 0

assert study(ranks, "--out", "shared", "--ranks_per_cell", "2") == 2
assert study(ranks, "--out", "shared", "--ranks_per_cell", "3", "--axes", "{seed: [1]}") == 0

def failing_alone(self, job):
    if job.communicator.rank == 1: raise NumericalError("one rank diverged")
    job.communicator.barrier()
FitCommand._fit, physcore.command.abort_all = failing_alone, aborting
sys.exit(study(ranks, "--out", "shared", "--ranks_per_cell", "3", "--axes", "{seed: [1, 2, 3]}"))
"""


def numbers(name: str) -> xr.Dataset:
    return open_study(name).drop_vars("training_time").drop_attrs()


def test_e11_the_numbers_of_a_study_do_not_depend_on_the_number_of_ranks(mpiexec: Run, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    ended = mpiexec(3, source=PROGRAM)
    # At last an error of one rank of a shared cell ends the job, as others wait for it, and is written down.
    assert ended.code == 4, ended.err
    assert "(rank 1): one rank diverged" in ended.err
    assert [path.name for path in (tmp_path / "shared" / "failures").iterdir()] == ["seed=2.txt"]
    one, two, three, shared = (numbers(name) for name in ("of1", "of2", "of3", "shared"))
    assert (one["state"] == 1).all()
    assert one["value"].sel(selection="full", time=1.0).notnull().all()
    xr.testing.assert_equal(two, one)
    xr.testing.assert_equal(three, one)
    # Ranks that share a cell draw the noise of their own part of each batch, and simulate the same.
    assert (shared["state"] == 1).all()
    xr.testing.assert_allclose(shared["reference_norm"], one["reference_norm"].sel(seed=[1]))
    lines = ended.out.splitlines()
    assert lines.count("seed=2: failed: it diverged") == 1
    assert sum(line.startswith("seed=2: done") for line in lines) == 3
    assert sum(line.startswith("study: 3 cells = seed (3)") for line in lines) == 5, "more than rank 0 spoke"
    assert "1 of 3 cells failed" in ended.err
    assert "`ranks_per_cell` = 2 must divide the number of ranks; there are 3" in ended.err
