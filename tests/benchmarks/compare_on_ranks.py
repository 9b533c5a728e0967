"""A comparison on one rank and on two: wall time, the CPU time of each rank, and what all ranks do alike.

Run as ``python tests/benchmarks/compare_on_ranks.py [ranks] [paths] [frames] [rounds]`` on a quiet machine, of one
million paths of the active swimmer in a hundred frames where nothing is said. Needs the extra ``bench``.

The score is one that was not trained, against a transition mixture of a few paths, whose evaluation is shared as the
blocks of paths are. Rounds take one rank and several in turn. The ratio of wall times tells only where the machine is
at rest; the CPU time of one rank over that of the busiest of several is what it would be on processors of their own,
and what all ranks do alike bounds it.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from analysis import TransitionMixture, evaluate
from analysis.quantities import FisherInformation, SteinIdentities
from physcore import world
from physcore.communicator import Communicator
from physcore.score import MLP, LocalScore
from physcore.storage.run import open_run
from simulations import ActiveSwimmer, simulate

QUANTITIES = {"stein-identities": SteinIdentities(), "fisher-information": FisherInformation()}
POOL = 200  # paths of the reference


def compared(folder: Path, ranks: Communicator) -> dict[str, Any]:
    """Compare once on some ranks; return what it took, the CPU time and the largest memory of each."""
    torch.set_num_threads(1)
    swimmer = ActiveSwimmer()
    trajectories = open_run(folder)
    ones = [1.0] * swimmer.dimension
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        end = float(trajectories["time"].values[-1])
        score = LocalScore(
            swimmer, (0.1, end), window=0.75, start=0.0, center=ones, scale=ones, drift_scale=ones, network=MLP()
        )
    paths = trajectories.sizes["path"]
    reference = TransitionMixture(swimmer, trajectories.isel(path=slice(POOL)), lag=0.2)
    ranks.barrier()
    wall, cpu = time.perf_counter(), time.process_time()
    found = evaluate(
        score,
        {"transition-mixture": reference},
        trajectories.isel(path=slice(POOL, paths)),
        QUANTITIES,
        communicator=ranks,
    )
    ranks.barrier()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    every = ranks.gather((time.process_time() - cpu, memory))
    return {
        "wall": time.perf_counter() - wall,
        "cpu": [each for each, _ in every],
        "memory_GB": [each for _, each in every],
        "value": float(found["value"].mean()),
    }


def measured(ranks: int, folder: Path) -> dict[str, Any]:
    """Compare in processes of their own."""
    launcher = [str(Path(sys.executable).with_name("mpiexec")), "-n", str(ranks)] if ranks > 1 else []
    words = [*launcher, sys.executable, __file__, "--in", str(folder)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(ended.stderr)
    told: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return told


def main() -> None:
    """Measure and report; in a rank, compare."""
    if sys.argv[1:2] == ["--in"]:
        ranks = world()
        told = compared(Path(sys.argv[2]), ranks)
        if ranks.rank == 0:
            print(json.dumps(told))
        return
    given = [int(word) for word in sys.argv[1:]]
    count, paths, frames, rounds = [*given, *(2, 1_000_000, 100, 3)[len(given) :]]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        simulate(ActiveSwimmer(), paths=paths, duration=5.0, dt=5.0 / frames / 50, save_every=50, seed=7, out=folder)
        rows = [(measured(1, folder), measured(count, folder)) for _ in range(rounds)]
    print(f"{paths} paths, {frames} frames, {count} ranks against one")
    for alone, shared in rows:
        # Of the work w and the part a that all ranks do, one rank takes w + a and each of n takes w / n + a.
        mean = statistics.mean(shared["cpu"])
        alike = max(0.0, (count * mean - alone["cpu"][0]) / (count - 1))
        print(
            f"wall {alone['wall']:.1f} s and {shared['wall']:.1f} s, ratio {alone['wall'] / shared['wall']:.2f}; "
            f"CPU {alone['cpu'][0]:.1f} s and {', '.join(f'{each:.1f}' for each in shared['cpu'])} s, ratio to the "
            f"busiest {alone['cpu'][0] / max(shared['cpu']):.2f}; done alike {alike:.1f} s; memory "
            f"{alone['memory_GB'][0]:.2f} and {max(shared['memory_GB']):.2f} GB; same result: "
            f"{alone['value'] == shared['value']}"
        )
    print(f"median ratio of wall times {statistics.median(a['wall'] / b['wall'] for a, b in rows):.2f}")


if __name__ == "__main__":
    main()
