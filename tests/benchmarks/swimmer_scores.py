"""Error of the swimmer's learned score against training time.

Run as ``python tests/benchmarks/swimmer_scores.py [steps ...]`` on a quiet machine; without steps 20,000 and 70,000.
Prints relative errors in percent of the full and the driven score at t = 1, 3, 5, and adds them to
``swimmer_scores.json`` in the working directory. What bounds the error without a limit of time is found by changing one
option at a time.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from analysis import FokkerPlanck, compare
from physcore.score import MLP, Local, PathWeightedDenoising, Training, fit
from simulations import ActiveSwimmer, simulate

TIMES = [1.0, 3.0, 5.0]


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", type=int, nargs="*", default=[20_000, 70_000])
    parser.add_argument("--width", type=int, default=64, help="width of the network")
    parser.add_argument("--depth", type=int, default=3, help="depth of the network")
    parser.add_argument("--batch", type=int, default=1024, help="samples in a step")
    parser.add_argument("--targets", type=int, default=2, help="targets from each sample")
    parser.add_argument("--lag", type=float, default=1.0, help="lag of the targets")
    parser.add_argument("--paths", type=int, default=100_000, help="paths to learn from")
    return parser.parse_args()


def main() -> None:
    """Fit with each number of steps and report."""
    torch.set_num_threads(1)
    asked = options()
    swimmer = ActiveSwimmer()
    trajectories = simulate(swimmer, paths=asked.paths, duration=5.0, dt=1e-3, save_every=50, seed=7)
    fresh = simulate(swimmer, paths=100_000, duration=5.0, dt=1e-3, save_every=1000, seed=8)
    reference = FokkerPlanck(swimmer, cells=(768, 384))
    for steps in asked.steps:
        training = Training(steps=steps, batch=asked.batch, first_time=0.3, validate_every=5000, average_decay=0.9995)
        began, used = time.perf_counter(), time.process_time()
        score = fit(
            swimmer,
            trajectories,
            objective=PathWeightedDenoising(lag=asked.lag, targets=asked.targets),
            model=Local(window=0.75, network=MLP(width=asked.width, depth=asked.depth)),
            training=training,
            seed=7,
        )
        row: dict[str, Any] = vars(asked) | {"steps": steps, "seconds": round(time.perf_counter() - began)}
        row["CPU-seconds"] = round(time.process_time() - used)
        values = compare(score, reference, fresh, times=TIMES)["value"].squeeze()
        for selection in ("full", "driven"):
            row[selection] = [round(100 * float(v), 4) for v in values.sel(selection=selection).values]
        print(row, flush=True)
        kept = Path("swimmer_scores.json")
        table = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else []
        kept.write_text(json.dumps([*table, row], indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
