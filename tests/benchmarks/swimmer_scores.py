"""Error of the swimmer's learned score against training time.

Run as ``python tests/benchmarks/swimmer_scores.py [steps ...]`` on a quiet machine; without steps 20,000 and 70,000.
Prints relative errors in percent of the full and the driven score at t = 1, 3, 5, and writes JSON into the working
directory.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from analysis import FokkerPlanck, compare
from physcore.score import Local, PathWeightedDenoising, Training, fit
from simulations import ActiveSwimmer, simulate

TIMES = [1.0, 3.0, 5.0]


def main() -> None:
    """Fit with each number of steps and report."""
    torch.set_num_threads(1)
    swimmer = ActiveSwimmer()
    trajectories = simulate(swimmer, paths=100_000, duration=5.0, dt=1e-3, save_every=50, seed=7)
    reference = FokkerPlanck(swimmer, cells=(768, 384))
    table: list[dict[str, Any]] = []
    for steps in [int(word) for word in sys.argv[1:]] or [20_000, 70_000]:
        training = Training(steps=steps, first_time=0.3, validate_every=5000, average_decay=0.9995)
        began, used = time.perf_counter(), time.process_time()
        score = fit(
            swimmer,
            trajectories,
            objective=PathWeightedDenoising(lag=1.0, targets=2),
            model=Local(window=0.75),
            training=training,
            seed=7,
        )
        row: dict[str, Any] = {"steps": steps, "seconds": round(time.perf_counter() - began)}
        row["CPU-seconds"] = round(time.process_time() - used)
        values = compare(score, reference, trajectories, times=TIMES)["value"].squeeze()
        for selection in ("full", "driven"):
            row[selection] = [round(100 * float(v), 4) for v in values.sel(selection=selection).values]
        print(row, flush=True)
        table.append(row)
    Path("swimmer_scores.json").write_text(json.dumps(table, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
