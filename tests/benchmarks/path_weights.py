r"""Noise and slope of path-weighted targets, by gain, lag and process, side by side.

Run as ``python tests/benchmarks/path_weights.py [paths]``, 100,000 paths when omitted. For each component it prints the
variance of a target relative to the score, :math:`E(\eta - s)^2 / E s^2`, and the slope :math:`E[\eta s] / E s^2` with
its standard error, one where targets are unbiased, against a Fokker-Planck reference; and the CPU time of a target.
Writes ``path_weights.json`` into the working directory.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from analysis import FokkerPlanck
from physcore import Process
from physcore.score import Batch, PathWeightedDenoising
from physcore.score.path_weights import Gain
from physcore.trajectory import frames
from simulations import ActiveSwimmer, DoubleWell, UnderdampedLangevin, simulate
from simulations.potentials import AnharmonicPotential

END, SAVED = 5.0, 0.5
LAGS = (0.5, 1.0, 2.0, 3.0)
PROCESSES: dict[str, tuple[Process, int]] = {
    "swimmer": (ActiveSwimmer(), 100),
    "double well": (DoubleWell(), 200),
    "anharmonic oscillator": (
        UnderdampedLangevin(potential=AnharmonicPotential(stiffness=1.0, anharmonicity=1.0)),
        100,
    ),
}


def measured(
    process: Process, state: Tensor, reference: FokkerPlanck, objective: PathWeightedDenoising
) -> dict[str, Any]:
    """Return variance, slope and time of the targets of states a lag before the end."""
    assert isinstance(objective.lag, float)
    start = torch.full((len(state),), END - objective.lag)
    batch = Batch(state=state, start=start, time=start + objective.lag)
    sample = objective.sampler(process)
    sample(batch.rows(slice(0, 64)), torch.Generator().manual_seed(1))  # compiles
    began = time.process_time()
    samples = sample(batch, torch.Generator().manual_seed(2))
    used = time.process_time() - began
    assert samples.target is not None
    score = reference.score(samples.state[:, 0].double(), END)
    known = torch.isfinite(score).all(-1)
    score, target = score[known], samples.target[known, 0].double()
    size = score.square().mean(0)
    products = (target - score) * score / size
    return {
        "variance": ((target - score).square().mean(0) / size).tolist(),
        "slope": (1 + products.mean(0)).tolist(),
        "slope error": (products.std(0) / len(score) ** 0.5).tolist(),
        "microseconds": 1e6 * used / len(state),
    }


def main() -> None:
    """Measure all and report."""
    torch.set_num_threads(1)
    paths = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    rows: list[dict[str, Any]] = []
    print(f"{'process':22} {'lag':>4} {'gain':17} {'variance':>20} {'slope':>36} {'us':>6}")
    for name, (process, steps) in PROCESSES.items():
        trajectories = simulate(process, paths=paths, duration=END, dt=2e-3, save_every=round(SAVED / 2e-3), seed=7)
        states = frames(process, trajectories)
        reference = FokkerPlanck(process, cells=(768, 384)) if process.dimension == 2 else FokkerPlanck(process)
        reference.prepare([END])
        for lag in LAGS:
            for gain in get_args(Gain):
                objective = PathWeightedDenoising(lag=lag, steps=steps, targets=1, gain=gain)
                row = measured(process, states[round((END - lag) / SAVED)], reference, objective)
                rows.append({"process": name, "lag": lag, "steps": steps, "gain": gain, **row})
                variance = " ".join(f"{value:9.3g}" for value in row["variance"])
                slopes = zip(row["slope"], row["slope error"], strict=True)
                slope = " ".join(f"{value:8.4f} +- {error:.4f}" for value, error in slopes)
                print(f"{name:22} {lag:4} {gain:17} {variance:>20} {slope:>36} {row['microseconds']:6.1f}", flush=True)
    Path("path_weights.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
