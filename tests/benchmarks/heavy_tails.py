"""Learned scores of a heavy-tailed law by score matching and by diffusion score matching, by distance from the bulk.

Run as ``python tests/benchmarks/heavy_tails.py [steps [degrees of freedom [seed]]]``, by default 3000, 2 and 3. States
are those of a Student diffusion in its stationary law; all objectives train the same network on the same states for as
many steps. Prints a table, and writes JSON and a figure into the working directory.
"""

import json
import sys
import time
from pathlib import Path

import torch

from analysis import Equilibrium, tail_error
from analysis.plots import plot_tail_error
from analysis.plots.figure import save_figure
from physcore.score import (
    DiffusionScoreMatching,
    Direct,
    ImplicitScoreMatching,
    Objective,
    ScoreModel,
    TailWeight,
    Training,
    Uniform,
    fit,
)
from simulations import StudentDiffusion, simulate

OBJECTIVES: dict[str, Objective] = {
    "score matching": ImplicitScoreMatching(weighting=Uniform()),
    "diffusion, p = 1/2": DiffusionScoreMatching(),
    "diffusion, p = 1/4": DiffusionScoreMatching(matrix=TailWeight(exponent=0.25)),
}
PATHS, STATES, MOMENT = 50_000, 200_000, 0.15


def main() -> None:
    """Learn with every objective and report."""
    torch.set_num_threads(1)
    steps, degrees, seed = ([float(word) for word in sys.argv[1:]] + [3000, 2.0, 3][len(sys.argv) - 1 :])[:3]
    process = StudentDiffusion(degrees_of_freedom=degrees, initial_width=None)
    paths = simulate(process, paths=PATHS, duration=0.2, dt=0.02, save_every=5, seed=7)
    training = Training(steps=int(steps), batch=1024, validate_every=int(steps))
    scores: dict[str, ScoreModel] = {}
    seconds = {}
    for name, objective in OBJECTIVES.items():
        began = time.process_time()
        scores[name] = fit(process, paths, objective=objective, model=Direct(), training=training, seed=int(seed))
        seconds[name] = time.process_time() - began
    states = process.sample_stationary(STATES, torch.Generator().manual_seed(11))
    errors = tail_error(scores, Equilibrium(process), states, time=MOMENT)
    print(f"{process}, {steps:g} steps, seed {seed:g}: relative error by fraction beyond")
    print(f"{'':<20}{'CPU s':>7}" + "".join(f"{fraction:>14g}" for fraction in errors["fraction"].values))
    print(f"{'distance':<27}" + "".join(f"{distance:14.3g}" for distance in errors["distance"].values))
    for name in scores:
        part = errors.sel(score=name)
        pairs = zip(part["value"].values, part["standard_error"].values, strict=True)
        print(f"{name:<20}{seconds[name]:7.1f}" + "".join(f"{value:8.4f}±{error:.4f}" for value, error in pairs))
    save_figure(plot_tail_error(errors), Path("heavy_tails.png"))
    Path("heavy_tails.json").write_text(json.dumps(errors.to_dict() | {"seconds": seconds}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
