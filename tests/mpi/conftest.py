"""Jobs of several ranks, always in a subprocess with a timeout: a hang is a failure and not a stuck run."""

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


@dataclasses.dataclass
class Ended:
    """How a job ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def mpiexec(tmp_path: Path) -> Callable[..., Ended]:
    """Run a Python source, or with ``physcore`` the command line, on some ranks."""
    if not MPIEXEC.exists():
        pytest.skip(f'no {MPIEXEC}; install it with: pip install "physcore[mpi]"')

    def run(ranks: int, *words: object, source: str = "") -> Ended:
        program = source + "\nimport sys\nfrom physcore.command import main\nsys.exit(main(sys.argv[1:]))\n"
        line = [MPIEXEC, "-n", ranks, sys.executable, "-c", program, *words]
        job = subprocess.Popen(
            [str(word) for word in line],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            out, err = job.communicate(timeout=PATIENCE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(job.pid, signal.SIGKILL)
        return Ended(job.returncode, out, err)

    return run
