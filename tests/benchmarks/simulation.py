"""Simulating the active swimmer: physcore beside hand-written C, torchsde and diffrax, and what else a run costs.

Run as ``python tests/benchmarks/simulation.py [section ...] [--rounds 5] [--quick]`` on a quiet machine, in an
environment with the extra ``bench``. Prints tables and writes ``simulation.json`` into the working directory. The
sections: ``peers`` (1e5 paths), ``few`` (1e3 paths), ``threads``, ``ranks``, ``bits``, ``memory``, ``disk`` and
``first_call``. Times are nanoseconds per path-step: CPU time of all threads, and wall time.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from alternating_runs import Contestant, Record, Row, Timing, alternate, options, summary, table, write
from swimmer_peers import DT, SAVE_EVERY, by_c, by_diffrax, by_physcore, by_torchsde, moments

PACKAGES = ("physcore", "torch", "numpy", "torchsde", "diffrax", "jax", "mpi4py")
ONE_BLOCK_SIZE = {"paths": 100_000, "dt": DT, "save_every": SAVE_EVERY, "dtype": "float32", "seed": 7}


def against_peers(paths: int, duration: float, slow_duration: float, rounds: int) -> list[Row]:
    """Time physcore, the C loop and, over a shorter time, torchsde and diffrax; everything on one thread."""
    fast, slow = paths * round(duration / DT), paths * round(slow_duration / DT)
    cast: list[tuple[str, Callable[..., Any], tuple[Any, ...]]] = [
        ("physcore", by_physcore, (paths, duration, {})),
        ("physcore float64", by_physcore, (paths, duration, {"dtype": "float64"})),
        ("C by hand", by_c, (paths, duration)),
        ("torchsde", by_torchsde, (paths, slow_duration, False)),
        ("torchsde, plain Brownian motion", by_torchsde, (paths, slow_duration, True)),
        ("diffrax, vmap over paths", by_diffrax, (paths, slow_duration, True)),
        ("diffrax, paths in one state", by_diffrax, (paths, slow_duration, False)),
    ]
    contestants = [
        Contestant(
            name=name,
            prepare=prepare,
            arguments=arguments,
            units=fast if prepare in (by_physcore, by_c) else slow,
            cores=1 if prepare is by_diffrax else None,  # jax heeds no other bound on its threads
            check=moments,
        )
        for name, prepare, arguments in cast
    ]
    return summary(alternate(contestants, rounds), "path_step")


def in_pairs(records: Sequence[Record]) -> list[Row]:
    """Return a row for each contestant, with ratios to the first of each pair."""
    pairs = (records[first : first + 2] for first in range(0, len(records), 2))
    return [row for pair in pairs for row in summary(pair, "path_step")]


def threads(duration: float, rounds: int) -> list[Row]:
    """Time physcore on one and on two threads, all frames stored or the last state alone; ratios are to one thread."""
    contestants = [
        Contestant(
            name=f"{count} thread(s), {'last state' if settings else 'all frames'}",
            prepare=by_physcore,
            arguments=(100_000, duration, settings),
            units=100_000 * round(duration / DT),
            environment={"OMP_NUM_THREADS": str(count)},
        )
        for settings in ({}, {"save_every": "final"})
        for count in (1, 2)
    ]
    return in_pairs(alternate(contestants, rounds))


def on_ranks(ranks: int, settings: dict[str, Any], environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Simulate on some ranks in a job of their own; return its times and the digest of its states."""
    launcher = [str(Path(sys.executable).with_name("mpiexec")), "-n", str(ranks)] if ranks > 1 else []
    driver = Path(__file__).with_name("swimmer_on_ranks.py")
    line = [*launcher, sys.executable, str(driver), json.dumps(settings)]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
    ended = subprocess.run(line, env=variables, capture_output=True, text=True, timeout=600, check=False)
    if ended.returncode:
        raise RuntimeError(f"{ranks} rank(s) ended with status {ended.returncode}: {ended.stderr}")
    return dict(json.loads(ended.stdout.splitlines()[-1]))


def job_of(ranks: int, settings: dict[str, Any]) -> Callable[[], Timing]:
    """Prepare a job of some ranks, timed from within."""

    def run() -> Timing:
        said = on_ranks(ranks, settings)
        return Timing(said["cpu"], said["wall"])

    return run


def two_ranks(duration: float, rounds: int) -> list[Row]:
    """Time one rank and two; every rank gets all that is stored, all frames or the last state alone.

    The run is ten times as long as elsewhere, so that it is the steps that count and not the start of a run. Ratios are
    to one rank.
    """
    settings = {**ONE_BLOCK_SIZE, "duration": duration}
    contestants = [
        Contestant(
            name=f"{ranks} rank(s), {'last state' if saving else 'all frames'}",
            prepare=job_of,
            arguments=(ranks, settings | saving),
            units=100_000 * round(duration / DT),
        )
        for saving in ({}, {"save_every": "final"})
        for ranks in (1, 2)
    ]
    return in_pairs(alternate(contestants, rounds))


def same_bits() -> list[Row]:
    """Compare all states of the same seed over ranks, block sizes and threads, bit by bit."""
    settings = {**ONE_BLOCK_SIZE, "paths": 10_000, "duration": 0.5}
    cases: list[tuple[int, int, int]] = [(1, 8192, 1), (2, 8192, 1), (3, 8192, 1), (1, 1024, 1), (3, 2048, 1)]
    cases += [(1, 16384, 1), (1, 8192, 2), (2, 4096, 2)]
    rows: list[Row] = []
    for ranks, block, count in cases:
        said = on_ranks(ranks, {**settings, "paths_per_block": block}, {"OMP_NUM_THREADS": str(count)})
        row = {"ranks": ranks, "paths_per_block": block, "threads": count, "sha256": said["digest"][:16]}
        rows.append(row | {"same": said["digest"][:16] == (rows or [row])[0]["sha256"]})
    return rows


MEMORY = """
import json, resource, sys, time
from simulations import ActiveSwimmer, simulate
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
simulate(ActiveSwimmer(), paths=1024, duration=0.1, dt=1e-3, save_every=10, seed=7)
before, cpu, wall = peak(), time.process_time(), time.perf_counter()
simulate(ActiveSwimmer(), dt=1e-3, save_every=10, seed=7, out=sys.argv[1], **json.loads(sys.argv[2]))
print(json.dumps({"before_GB": before, "peak_GB": peak(), "cpu_s": time.process_time() - cpu,
                  "wall_s": time.perf_counter() - wall}))
"""


def memory(paths: int) -> list[Row]:
    """Measure the peak memory of a process that writes 100 frames of many paths to disk."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-c", MEMORY, f"{folder}/run", json.dumps({"paths": paths, "duration": 0.99})]
        variables = {**os.environ, "OMP_NUM_THREADS": "1"}
        ended = subprocess.run(words, env=variables, capture_output=True, text=True, check=True)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return [{"paths": paths, "frames": 100, "data_GB": size / 1e9, **json.loads(ended.stdout.splitlines()[-1])}]


def disk(duration: float, rounds: int) -> list[Row]:
    """Time runs in memory and runs that stream to disk; ``wall_ratio`` is the price of the disk.

    Where every core is busy otherwise it nears ``cpu_ratio``: the files are filled beside the simulation.
    """
    contestants = [
        Contestant(
            name=name,
            prepare=by_physcore,
            arguments=(100_000, duration, {}, to_disk),
            units=100_000 * round(duration / DT),
        )
        for name, to_disk in (("in memory", False), ("to disk", True))
    ]
    return summary(alternate(contestants, rounds), "path_step")


FIRST = """
import json, time
began = time.perf_counter()
from simulations import ActiveSwimmer, simulate
imported = time.perf_counter()
def call():
    start = time.perf_counter()
    simulate(ActiveSwimmer(), paths=1024, duration=0.05, dt=1e-3, save_every=50, seed=7)
    return time.perf_counter() - start
first, second = call(), call()
print(json.dumps({"import_s": imported - began, "first_call_s": first, "second_call_s": second}))
"""


def first_call(rounds: int) -> list[Row]:
    """Measure a first small simulation in a fresh process, kernel cache empty and filled; medians."""
    said: dict[str, list[dict[str, float]]] = {"cold": [], "warm": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            variables = {**os.environ, "OMP_NUM_THREADS": "1", "PHYSCORE_CACHE": cache}
            for answers in said.values():
                words = [sys.executable, "-c", FIRST]
                ended = subprocess.run(words, env=variables, capture_output=True, text=True, check=True)
                answers.append(json.loads(ended.stdout.splitlines()[-1]))
    rows: list[Row] = []
    for state, answers in said.items():
        row: Row = {"cache": state}
        for key in ("import", "first_call", "second_call"):
            values = [answer[f"{key}_s"] for answer in answers]
            row |= {f"{key}_s": statistics.median(values), f"{key}_low": min(values), f"{key}_high": max(values)}
        rows.append(row)
    return rows


def main() -> None:
    """Run the chosen sections."""
    tenth = 10 if "--quick" in sys.argv else 1
    sections: dict[str, tuple[str, Callable[[int], list[Row]]]] = {
        "peers": ("1e5 paths", lambda rounds: against_peers(100_000, 5 / tenth, 0.5 / tenth, rounds)),
        "few": ("1,000 paths", lambda rounds: against_peers(1_000, 50 / tenth, 0.5, rounds)),
        "threads": ("two threads, 1e5 paths", lambda rounds: threads(5 / tenth, rounds)),
        "ranks": ("two ranks, 1e5 paths", lambda rounds: two_ranks(50 / tenth, rounds)),
        "bits": ("same seed, same bits", lambda rounds: same_bits()),
        "memory": ("memory of a run to disk", lambda rounds: memory(1_000_000 // tenth)),
        "disk": ("in memory and to disk, 1e5 paths", lambda rounds: disk(5 / tenth, rounds)),
        "first_call": ("first call in a fresh process", first_call),
    }
    chosen = options(__doc__ or "", list(sections))
    report: dict[str, Any] = {}
    for name in chosen.sections:
        title, measure = sections[name]
        report[name] = measure(chosen.rounds)
        table(title, report[name])
    write("simulation", report, PACKAGES)


if __name__ == "__main__":
    main()
