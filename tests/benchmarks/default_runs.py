"""Errors of the scores that the default runs learn, with the processor seconds of their training.

Run as ``python tests/benchmarks/default_runs.py [process ...]``; without names all default runs of which one is held
against a Fokker-Planck or an exact reference. Prints the relative error of the full and the driven score in percent at
the times of the run, on 50,000 fresh paths, and writes ``default_runs.json`` into the working directory.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from analysis import compare
from physcore.configuration import default_run
from physcore.registry import build, name_and_parameters
from physcore.score import Training, fit
from simulations import simulate

RUNS = (
    *("active-swimmer", "duffing", "van-der-pol", "underdamped-langevin", "double-well", "mexican-hat"),
    *("overdamped-langevin", "tilted-ring", "mueller-brown", "active-ornstein-uhlenbeck"),
    *("inertial-active-ornstein-uhlenbeck", "student-diffusion", "breathing-parabola"),
)


def errors(name: str) -> dict[str, Any]:
    """Learn as the default run of a process does, and compare on fresh paths."""
    run = default_run(name)
    process = build("physcore.processes", name, run.get("parameters", {}))
    settings, fitted, compared = run["simulate"], run["fit"], run["compare"]
    trajectories = simulate(process, **settings, seed=7)
    fresh = simulate(process, **{**settings, "paths": 50_000}, seed=8)
    began = time.process_time()
    score = fit(
        process,
        trajectories,
        objective=build("physcore.objectives", *name_and_parameters(fitted["objective"])),
        model=build("physcore.models", *name_and_parameters(fitted["model"])),
        training=Training(**fitted["training"]),
        seed=7,
    )
    row: dict[str, Any] = {"process": name, "CPU-seconds": round(time.process_time() - began)}
    reference = build("physcore.references", *name_and_parameters(compared["references"][0]), process)
    values = compare(score, reference, fresh, times=compared["times"])["value"].squeeze()
    shown = {each: [float(f"{100 * float(v):.2g}") for v in values.sel(selection=each)] for each in ("full", "driven")}
    return row | shown


def main() -> None:
    """Print a row for each run."""
    torch.set_num_threads(1)
    rows = []
    for name in sys.argv[1:] or RUNS:
        rows.append(errors(name))
        print(rows[-1], flush=True)
    Path("default_runs.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
