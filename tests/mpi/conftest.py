"""Jobs of several ranks, always in a subprocess with a timeout: a hang is a failure and not a stuck run.

To start a rank is most of what a job costs, so that a job does much: it has parts, each with what it says in a file.
"""

import collections
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from physcore import SerialCommunicator

MPIEXEC = Path(sys.executable).with_name("mpiexec")
PATIENCE = 600.0  # seconds, for a machine that is busy with other things

PARTS = """
import os, sys
from physcore.command import main
from physcore.communicator import world
def begin(part):
    sys.stdout.flush(), sys.stderr.flush()
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{part}.{name}{world().rank}", os.O_WRONLY | os.O_CREAT), number)
"""

# A comparison, and how often each of the ranks did what costs most in one; run by one rank in the test's own process.
COMPARISON = """
import collections, contextlib, hashlib, importlib, json
from pathlib import Path
from unittest import mock
import torch
from analysis import FokkerPlanck, KernelDensity, TransitionMixture, evaluate
from analysis.quantities import KernelSteinDiscrepancy
from analysis.references.samples import lag_choice
from physcore.score import MLP, LocalScore
from simulations import DoubleWell, simulate

def comparison(ranks, file):
    done = collections.Counter()
    def counted(owner, name, as_name):
        real = getattr(owner, name)
        def once(*given, **named):
            done[as_name] += 1
            return real(*given, **named)
        return mock.patch.object(owner, name, once)
    grid, stein = map(importlib.import_module, (
        "analysis.references.fokker_planck", "analysis.quantities.kernel_stein_discrepancy"
    ))
    places = [(lag_choice.Judge, "best", "lags"), (lag_choice.Judge, "error", "errors of lags")]
    places += [(TransitionMixture, "learn", "mixtures"), (KernelDensity, "learn", "densities")]
    places += [(grid, "refine", "equations"), (stein, "stein_test", "discrepancies")]
    with contextlib.ExitStack() as patches:
        for place in places:
            patches.enter_context(counted(*place))
        patches.enter_context(mock.patch.multiple(lag_choice, POINTS=64, BIAS_STATES=256))
        well = DoubleWell()
        paths = simulate(well, paths=300, duration=1.0, dt=0.01, save_every=20, seed=5)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            score = LocalScore(
                well, (0.2, 1.0), window=0.75, start=0.0, center=[0.0], scale=[1.0], drift_scale=[1.0], network=MLP()
            )
        pool = paths.isel(path=slice(100))
        known = {
            "transition-mixture": TransitionMixture(well, pool),
            "kernel-density": KernelDensity(well, pool),
            "fokker-planck": FokkerPlanck(well, cells=(64,)),
            "another": FokkerPlanck(well, cells=(32,)),
        }
        times = [0.2, 0.4, 0.6, 0.8, 1.0]
        known["fokker-planck"].prepare_from(file, times, ranks)  # the other one is solved in the comparison
        found = evaluate(
            score, known, paths.isel(path=slice(100, None)),
            {"kernel-stein-discrepancy": KernelSteinDiscrepancy(paths=40, replicates=8)},
            times=times, shown=[0.6, 1.0], blocks=4, communicator=ranks,
        )
    digest = hashlib.sha256()
    for group, node in sorted(found.subtree_with_keys):
        for name, values in sorted(node.to_dataset(inherit=False).data_vars.items()):
            digest.update(f"{group} {name}".encode() + values.values.tobytes())
    return digest.hexdigest(), dict(done)

def told(ranks):
    every = ranks.gather(comparison(ranks, Path("equation.nc")))
    if ranks.rank == 0: print(json.dumps(every))
"""


@dataclasses.dataclass
class Ended:
    """How a job ended.

    Arguments:
        folder: Where it ran.
        ranks: Number of its ranks.
        code: Its exit code.
        err: What its parts and what was before and after them wrote to stderr.
    """

    folder: Path
    ranks: int
    code: int
    err: str

    def said(self, part: str) -> str:
        """Return what rank 0 wrote to stdout in a part, in which the others must have been silent."""
        first, *others = ((self.folder / f"{part}.out{rank}").read_text() for rank in range(self.ranks))
        assert not any(others), "more than rank 0 spoke"
        return first

    def complained(self, part: str) -> list[str]:
        """Return what each rank wrote to stderr in a part."""
        return [(self.folder / f"{part}.err{rank}").read_text() for rank in range(self.ranks)]


def ended(launcher: list[object], folder: Path) -> tuple[int, str]:
    """Run a launcher of ranks and return its exit code and all that it and they wrote."""
    job = subprocess.Popen(
        [str(word) for word in launcher],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = job.communicate(timeout=PATIENCE)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)
    return job.returncode, said


@pytest.fixture(scope="session")
def mpiexec() -> Callable[[Path, int, str], Ended]:
    """Run a Python source on some ranks in a folder; ``begin(part)`` begins a part."""
    if not MPIEXEC.exists():
        pytest.skip(f'no {MPIEXEC}; install it with: pip install "physcore[mpi]"')

    def run(folder: Path, ranks: int, source: str) -> Ended:
        code, said = ended([MPIEXEC, "-n", ranks, sys.executable, "-c", PARTS + source], folder)
        complaints = "".join(path.read_text() for path in sorted(folder.glob("*.err[0-9]")))
        return Ended(folder, ranks, code, complaints + said)

    return run


@pytest.fixture(scope="session")
def comparison() -> str:
    """Return a source with a function ``told(ranks)``: rank 0 prints what each of them found and did."""
    return COMPARISON


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], None]:
    """Check what the ranks of a job found and did in a comparison against what one rank does."""
    source: dict[str, Any] = {}
    exec(COMPARISON, source)
    digest, alone = source["comparison"](SerialCommunicator(), tmp_path_factory.mktemp("alone") / "equation.nc")

    def check(said: str) -> None:
        every = json.loads(said)
        assert [found for found, _ in every] == [digest] * len(every)
        together = collections.Counter()
        for _, done in every:
            together.update(done)
        assert together == alone, "something was done more often than by one rank"
        for name, count in alone.items():
            most = max(done.get(name, 0) for _, done in every)
            # Of the lags one at each time, and of what each of them takes more at some times than at others.
            assert name == "equations" or most <= -(-count // len(every)) + count // 4, f"{name} were not shared"

    return check


@pytest.fixture(scope="session")
def torchrun() -> Callable[..., tuple[int, str]]:
    """Run the command line on ranks of torchrun in a folder; return how it ended and what it said."""

    def run(folder: Path, ranks: int, *words: object) -> tuple[int, str]:
        (folder / "program.py").write_text("import sys\nfrom physcore.command import main\nsys.exit(main())\n")
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
        return ended([*launcher, "program.py", *words], folder)

    return run
