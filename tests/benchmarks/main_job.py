"""Time and memory of the main job, stage by stage.

Run as ``python tests/benchmarks/main_job.py [process] [ranks]`` on a quiet machine. Prints a table and writes JSON
into the working directory. Needs the extra ``bench``.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import psutil

STAGES = ("simulate", "fit", "compare")


def measured(words: list[str]) -> tuple[float, float]:
    """Run a command; return its wall time in seconds and the peak memory of all its processes in GB."""

    began, peak = time.perf_counter(), 0
    process = psutil.Popen(words)
    while process.poll() is None:
        family = [process, *process.children(recursive=True)]
        resident = 0
        for member in family:
            try:
                resident += member.memory_info().rss
            except psutil.Error:
                continue
        peak = max(peak, resident)
        time.sleep(0.1)
    if process.returncode != 0:
        raise SystemExit(process.returncode)
    return time.perf_counter() - began, peak / 1e9


def main() -> None:
    """Run each stage of a process's default run and report."""
    process = sys.argv[1] if len(sys.argv) > 1 else "active-swimmer"
    ranks = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    physcore = Path(sys.executable).with_name("physcore")
    launcher = [str(Path(sys.executable).with_name("mpiexec")), "-n", str(ranks)] if ranks > 1 else []
    with tempfile.TemporaryDirectory() as folder:
        run = f"{folder}/run"
        targets = {"simulate": [process, "--out", run], "fit": [run], "compare": [run]}
        table = {}
        for stage in STAGES:
            seconds, memory = measured([*launcher, str(physcore), stage, *targets[stage]])
            table[stage] = {"seconds": round(seconds, 1), "memory_GB": round(memory, 2)}
        table["whole"] = {
            "seconds": round(sum(row["seconds"] for row in table.values()), 1),
            "memory_GB": max(row["memory_GB"] for row in table.values()),
        }
    print(f"{process}, {ranks} rank(s)")
    for stage, row in table.items():
        print(f"{stage:>10} {row['seconds']:>8} s {row['memory_GB']:>6} GB")
    Path(f"main_job_{process}_{ranks}.json").write_text(json.dumps(table, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
