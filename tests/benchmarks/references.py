"""Error and time of every reference from samples on the active swimmer, against the Fokker-Planck equation.

Run as ``python tests/benchmarks/references.py [paths]``; without paths 200,000. Prints, at t = 1, 3 and 5, the relative
errors of the full and the driven score in percent, the reference's own estimate of them, and the CPU seconds of
learning and of scoring 20,000 states; writes JSON into the working directory.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from torch import Tensor

from analysis import (
    FokkerPlanck,
    GaussianFit,
    GaussianMixtureFit,
    KernelDensity,
    KernelScore,
    SampledReference,
    SpectralStein,
    TransitionMixture,
)
from physcore.score import GaussianClosure, LocalLinear
from physcore.trajectory import frames
from simulations import ActiveSwimmer, simulate

TIMES = [1.0, 3.0, 5.0]
STATES = 20_000

Build = Callable[[ActiveSwimmer, xr.Dataset], SampledReference]
REFERENCES: dict[str, Build] = {
    "Gaussian fit": GaussianFit,
    "kernel density": KernelDensity,
    "mixture of Gaussians": GaussianMixtureFit,
    "spectral Stein": SpectralStein,
    "nu-method": KernelScore,
    "transition mixture, first order": lambda process, pool: TransitionMixture(process, pool, kernel=LocalLinear()),
    "transition mixture, first order, lag 0.3": lambda process, pool: TransitionMixture(
        process, pool, kernel=LocalLinear(), lag=0.3
    ),
    "transition mixture, closure": TransitionMixture,
    "transition mixture, closure, lag 0.75": lambda process, pool: TransitionMixture(
        process, pool, kernel=GaussianClosure(), lag=0.75
    ),
}


def relative_errors(estimate: Tensor, exact: Tensor) -> list[float]:
    """Return the relative squared errors of the full and the driven score in percent."""
    known = torch.isfinite(exact).all(-1)
    error, norm = (each[known].square().mean(0) for each in (estimate - exact, exact))
    return [round(100 * float(error.sum() / norm.sum()), 4), round(100 * float(error[1] / norm[1]), 4)]


def measured(reference: SampledReference, exact: FokkerPlanck, states: Tensor, moment: float) -> dict[str, Any]:
    """Return errors and CPU seconds of one reference at one time."""
    began = time.process_time()
    reference.prepare([moment])
    reference.at(moment)
    learned = time.process_time()
    score = reference.score(states, moment)
    row: dict[str, Any] = {"learning": learned - began, "scoring": time.process_time() - learned}
    row = {name: round(seconds, 2) for name, seconds in row.items()}
    row["error"] = relative_errors(score, exact.score(states, moment))
    if isinstance(reference, TransitionMixture):
        row["lag"] = round(reference.lag(moment), 3)
        row["own"] = [round(100 * reference.error_estimate(moment, part), 4) for part in (None, [1])]
    return row


def main() -> None:
    """Measure every reference and report."""
    torch.set_num_threads(1)
    paths = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    swimmer = ActiveSwimmer()
    trajectories = simulate(swimmer, paths=paths + STATES, duration=5.0, dt=1e-3, save_every=50, seed=7)
    exact = FokkerPlanck(swimmer, cells=(768, 384))
    exact.prepare(TIMES)
    pool, others = trajectories.isel(path=slice(paths)), trajectories.isel(path=slice(paths, None))
    table: list[dict[str, Any]] = []
    for name, build in REFERENCES.items():
        for moment in TIMES:
            states = frames(swimmer, others.sel(time=[moment], method="nearest"), torch.float64)[0]
            row = {"reference": name, "t": moment, **measured(build(swimmer, pool), exact, states, moment)}
            print(row, flush=True)
            table.append(row)
    Path("references.json").write_text(json.dumps(table, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
