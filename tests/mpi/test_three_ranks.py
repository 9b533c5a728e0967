"""Three ranks of MPI: their contract, states in memory, a run begun by one rank, and studies with cells that fail.

One job does it all, for what it costs to start ranks.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from physcore.errors import Stopped
from physcore.stopping import StopRequest
from physcore.storage import Manifest
from physcore.study import open_study
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
WORDS = ["simulate", "active-swimmer", *(f"--{name}={value}" for name, value in SETTINGS.items()), "--out=run"]
CONTRACT = """
import numpy as np
from physcore.communicator import MPICommunicator
ranks = world()
begin("contract")

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
asked = []
assert ranks.map(lambda item: asked.append(item) or [item, rank], 4) == [[0, 0], [1, 1], [2, 2], [3, 0]]
assert asked == [[0, 3], [1], [2]][rank] and ranks.map(str, 0) == []
assert ranks.once(lambda: asked.append(7) or rank) == 0 and (7 in asked) == (rank == 0)
if ranks.rank == 0: print("fine")
begin("comparison")
told(ranks)
"""
IN_MEMORY = f"""
import hashlib, os
from simulations import ActiveSwimmer, simulate
begin("memory")

def digest():
    made = simulate(ActiveSwimmer(), communicator=ranks, **{SETTINGS})
    return hashlib.sha256(np.stack([made[name].transpose("time", "path").values for name in "xv"])).hexdigest()

memory, together = os.memfd_create, digest()
del os.memfd_create
digests = ranks.gather((together, digest()))
os.memfd_create = memory
if ranks.rank == 0: print(*(each for pair in digests for each in pair))
"""
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

# The ranks are split: two ranks and one rank have a study each. Then all three have one, in which a cell fails on
# whatever rank it is, and finish it. Then they share cells.
STUDIES = """
import analysis.plots, analysis.plots.study
import physcore.command
from physcore.distributed import joined
from physcore.errors import NumericalError
from physcore.score.command import FitCommand

def drawn(folder, *rest): folder.figures.mkdir(exist_ok=True)
analysis.plots.draw_run, analysis.plots.study.draw_study = drawn, lambda study, folder: None

begin("parts")
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

begin("studies")
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


def sha256(run: Path) -> dict[str, str]:
    files = sorted((run / "trajectories").glob("block*.nc"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def job(
    mpiexec: Run, comparison: str, tmp_path_factory: pytest.TempPathFactory, stop_after: Callable[[int], StopRequest]
) -> Any:
    folder = tmp_path_factory.mktemp("three")
    (folder / "study.yaml").write_text(STUDY)
    with pytest.raises(Stopped):
        simulate(ActiveSwimmer(), **SETTINGS, out=folder / "run", stop=stop_after(5))
    assert len(sha256(folder / "run")) == 5
    program = f"{CONTRACT}\n{IN_MEMORY}\nbegin('run')\nassert main({WORDS}) == 0\n{STUDIES}"
    return mpiexec(folder, 3, comparison + program)


def test_the_ranks_of_mpi_keep_to_the_contract_of_a_communicator(job: Any) -> None:
    assert job.said("contract") == "fine\n", job.err


def test_e11_three_ranks_share_a_comparison_and_find_the_same_bits_as_one(job: Any, shared: Run) -> None:
    shared(job.said("comparison"))


def test_trajectories_in_memory_are_the_same_on_all_ranks_with_and_without_memory_in_common(job: Any) -> None:
    made = simulate(ActiveSwimmer(), **SETTINGS)
    states = np.stack([made[name].transpose("time", "path").values for name in "xv"])
    assert job.said("memory").split() == [hashlib.sha256(states).hexdigest()] * 6, job.err


def test_e11_a7_f7_a_run_begun_by_one_rank_is_finished_by_more_ranks_than_blocks(job: Any, tmp_path: Path) -> None:
    simulate(ActiveSwimmer(), **SETTINGS, out=tmp_path / "serial")
    assert len(sha256(tmp_path / "serial")) == 2 * 4
    assert sha256(job.folder / "run") == sha256(tmp_path / "serial"), job.err
    assert Manifest.read(job.folder / "run").checksums == Manifest.read(tmp_path / "serial").checksums
    assert len(job.said("run").splitlines()) == 1
    assert job.complained("run") == ["", "", ""]


def test_e11_the_numbers_of_a_study_do_not_depend_on_the_number_of_ranks(job: Any) -> None:
    def numbers(name: str) -> xr.Dataset:
        return open_study(job.folder / name).drop_vars("training_time").drop_attrs()

    # At last an error of one rank of a shared cell ends the job, as others wait for it, and is written down.
    assert job.code == 4, job.err
    first, second, _ = job.complained("studies")
    assert "(rank 1): one rank diverged" in second
    assert [path.name for path in (job.folder / "shared" / "failures").iterdir()] == ["seed=2.txt"]
    one, two, three, shared = (numbers(name) for name in ("of1", "of2", "of3", "shared"))
    assert (one["state"] == 1).all()
    assert one["value"].sel(selection="full", time=1.0).notnull().all()
    xr.testing.assert_equal(two, one)
    xr.testing.assert_equal(three, one)
    # Ranks that share a cell draw the noise of their own part of each batch, and simulate the same.
    assert (shared["state"] == 1).all()
    xr.testing.assert_allclose(shared["reference_norm"], one["reference_norm"].sel(seed=[1]))
    lines = [line for rank in range(3) for line in (job.folder / f"studies.out{rank}").read_text().splitlines()]
    assert lines.count("seed=2: failed: it diverged") == 1
    assert sum(line.startswith("seed=2: done") for line in lines) == 3
    assert sum(line.startswith("study: 3 cells = seed (3)") for line in lines) == 5, "more than rank 0 spoke"
    assert "1 of 3 cells failed" in first
    assert "`ranks_per_cell` = 2 must divide the number of ranks; there are 3" in first
