"""Jobs of several ranks, always in a subprocess with a timeout: a hang is a failure and not a stuck run.

To start a rank is most of what a job costs, so that a job does much: it has parts, each with what it says in a file.
"""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

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
def torchrun() -> Callable[..., tuple[int, str]]:
    """Run the command line on ranks of torchrun in a folder; return how it ended and what it said."""

    def run(folder: Path, ranks: int, *words: object) -> tuple[int, str]:
        (folder / "program.py").write_text("import sys\nfrom physcore.command import main\nsys.exit(main())\n")
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
        return ended([*launcher, "program.py", *words], folder)

    return run
