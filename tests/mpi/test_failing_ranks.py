"""What is wrong on one rank or on all ends the whole job, which would wait for ever otherwise."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
WORDS = ["simulate", "active-swimmer", "--paths=2500", "--duration=0.4", "--dt=0.01", "--save_every=4", "--seed=3"]

# Of the first command, which no rank waits in, the end is only noted; the second ends the job.
PROGRAM = f"""
import physcore.command

words, ranks = {WORDS}, world()
statuses, real = [], physcore.command.abort_all
physcore.command.abort_all = statuses.append
begin("refused")
assert main([*words, "--paths=0", "--out=refused"]) == 2
assert statuses == [2]

physcore.command.abort_all = real
begin("alone")
sys.exit(main([*words, "--out=file"]))
"""


def test_what_is_wrong_on_all_ranks_or_found_by_rank_0_alone_ends_the_job(mpiexec: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    job = mpiexec(tmp_path, 2, PROGRAM)
    assert job.code == 5, job.err
    assert all("`paths`" in text for text in job.complained("refused"))
    assert not (tmp_path / "refused").exists(), "a bad setting must be refused before anything is made"
    assert "is a file" in job.complained("alone")[0]
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("action", "code"), [("sys.exit(3)", 3), ("os.kill(os.getpid(), signal.SIGKILL)", None)], ids=["f2-exit", "f3-kill"]
)
def test_a_rank_that_leaves_takes_those_with_it_that_wait_for_it(
    mpiexec: Run, tmp_path: Path, action: str, code: int | None
) -> None:
    source = (
        "import signal, physcore.command\n"
        "def dispatch(words):\n"
        f"    if world().rank == 1: {action}\n"
        "    world().barrier()\n"
        "physcore.command._dispatch = dispatch\n"
        "sys.exit(main([]))\n"
    )
    ended = mpiexec(tmp_path, 2, source)
    assert ended.code == code if code is not None else ended.code != 0, ended.err
