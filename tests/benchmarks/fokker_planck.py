"""The Fokker-Planck reference: against the package fplanck in two dimensions, and what it costs in three.

Run as ``python tests/benchmarks/fokker_planck.py [peer] [broad] [well] [space] [--rounds 3] [--quick]``; prints tables
and writes ``fokker_planck.json`` into the working directory. Without ``space`` some minutes on a machine at rest.

``peer`` and ``broad`` solve for an active Ornstein-Uhlenbeck particle with thermal noise, less and more of it, in a
spring, where the law is Gaussian, ``well`` in a double well, where a solution on a finer grid of our own is the truth.
fplanck can do no noise that leaves a component out, and with little of it its rates grow as the exponential of the
force across a cell: in the double well it has five times the noise of ``peer``, without which it does not end. Both are
solved on several grids, in turns, each in a process of its own, everything counted that leads from the process to the
density, of ours the box, two coarser grids and the error estimate. Errors are E|s - s_exact|^2 / E|s_exact|^2 over the
same states, the score of either grid taken by the same spline.

The ratio of an fplanck grid is its CPU time over ours at its error, interpolated between our grids, logarithms over
logarithms; over our cheapest grid where that is more accurate still. ``assembly_s`` is the part of fplanck that fills
its matrix in a loop of Python, which is in the ratio, and not in ``ratio_without``.

fplanck 0.2.2 is the newest for Python 3.11; 1.0.2 has the same loop and the same ``expm_multiply``, and bounds the
exponent of the rates besides.

``space`` solves for an inertial active Ornstein-Uhlenbeck particle in a spring, without noise on its position, once
with and once without thermal noise on its velocity, in three dimensions; the exact law is Gaussian.
"""

import concurrent.futures
import dataclasses
import math
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import alternating_runs as runs
import numpy as np
import torch
from torch import Tensor

from analysis import FokkerPlanck
from analysis.references.grid.cells import Cells
from analysis.references.grid.table import LogDensityTable
from physcore.law import Gaussian
from simulations import (
    ActiveOrnsteinUhlenbeck,
    DoubleWellPotential,
    InertialActiveOrnsteinUhlenbeck,
    OrnsteinUhlenbeck,
    simulate,
)

MOMENT = 2.0
STATES = 20_000
OURS = (32, 48, 64, 96, 128)
THEIRS = (64, 96, 128, 192, 256)
PROCESSES = {
    "peer": ActiveOrnsteinUhlenbeck(diffusivity=0.1),
    "broad": ActiveOrnsteinUhlenbeck(diffusivity=1.0),
    "well": ActiveOrnsteinUhlenbeck(diffusivity=0.5, potential=DoubleWellPotential(), initial_width=0.5),
}
BOXES = {  # as tight as the errors allow; a state next to an end would be all of fplanck's error in ``broad``
    "peer": ((-5.4, 5.4), (-5.2, 5.2)),
    "broad": ((-8.5, 8.5), (-6.5, 6.5)),
    "well": ((-3.2, 3.2), (-5.2, 5.2)),
}
Row = dict[str, Any]


def states_of(name: str) -> Tensor:
    """Return states of the law at the moment, the same for all."""
    process = PROCESSES[name]
    dataset = simulate(process, paths=STATES, duration=MOMENT, dt=1e-3, save_every="final", seed=11)
    return torch.stack([torch.from_numpy(dataset[k].values[:, -1]).double() for k in ("x", "v")], -1)


def truth(name: str, states: Tensor) -> Tensor:
    """Return the exact score, or that of a finer grid, in the well."""
    if name == "well":
        return FokkerPlanck(PROCESSES[name], cells=(512, 512)).score(states, MOMENT)
    process = PROCESSES[name]
    linear = OrnsteinUhlenbeck(
        drift_matrix=((-1.0, 1.0), (0.0, -1.0)),
        noise_matrix=((math.sqrt(2 * process.diffusivity), 0.0), (0.0, math.sqrt(2.0))),
    )
    return linear.law(torch.tensor(MOMENT)).score(states)


def relative_error(score: Tensor, exact: Tensor) -> Row:
    known = torch.isfinite(score).all(-1) & torch.isfinite(exact).all(-1)
    error, norm = (float(each[known].square().sum()) for each in (score - exact, exact))
    return {"error": error / norm, "unknown": 1 - float(known.double().mean())}


def ours(name: str, count: int) -> Callable[[], FokkerPlanck]:
    """Return a solution by the reference, box, refinement and own error estimate included."""
    torch.set_num_threads(1)

    def run() -> FokkerPlanck:
        reference = FokkerPlanck(PROCESSES[name], cells=(count, count))
        reference.prepare([MOMENT])
        return reference

    return run


def theirs(name: str, count: int) -> Callable[[], "ByPeer"]:
    """Return a solution by fplanck, its density handed over to our interpolation."""
    vars(np)["product"] = np.prod  # fplanck 0.2 was written for numpy 1
    import fplanck
    from scipy import constants

    process = PROCESSES[name]
    lower, upper = np.array(BOXES[name]).T
    width = (upper - lower) / count
    diffusivity = np.array([process.diffusivity, process.swim_variance / process.persistence_time])

    def force(x: Any, v: Any) -> Any:
        drift = process.drift(torch.from_numpy(np.stack([x, v], -1)), torch.tensor(0.0))
        return np.moveaxis(drift.numpy(), -1, 0)

    def initial(x: Any, v: Any) -> Any:
        return process.initial_log_density(torch.from_numpy(np.stack([x, v], -1))).exp().numpy()

    def run() -> ByPeer:
        began = time.process_time()
        solver = fplanck.fokker_planck(
            temperature=diffusivity / constants.k, drag=1.0, extent=upper - lower, resolution=width, force=force
        )
        assembly = time.process_time() - began
        mass = solver.propagate(initial, MOMENT)
        counts = mass.shape
        ends = [(axis[0] - step / 2, axis[-1] + step / 2) for axis, step in zip(solver.axes, width, strict=True)]
        cells = Cells(lower=tuple(e[0] for e in ends), upper=tuple(e[1] for e in ends), counts=counts)
        return ByPeer(LogDensityTable.of(cells, np.maximum(mass, 0.0)), assembly)

    return run


@dataclasses.dataclass(frozen=True)
class ByPeer:
    """A solution by fplanck, and the CPU time that filled its matrix, [s]."""

    table: LogDensityTable
    assembly: float


@dataclasses.dataclass(frozen=True)
class Check:
    """Report the error of a solution at given states."""

    states: Tensor
    exact: Tensor

    def __call__(self, solution: FokkerPlanck | ByPeer) -> Row:
        if isinstance(solution, FokkerPlanck):
            own = {"own_estimate": solution.error_estimate(MOMENT)}
            return relative_error(solution.score(self.states, MOMENT), self.exact) | own
        score = torch.from_numpy(solution.table.evaluate(self.states.numpy())[1])
        return relative_error(score, self.exact) | {"assembly_s": solution.assembly}


def at_equal_error(own: list[runs.Record], error: float) -> list[float]:
    """Return our CPU time in each round at some error, between our grids; of the cheapest where that is better."""
    errors = np.log([record.checked["error"] for record in own])
    order = np.argsort(errors)
    found = []
    for once in zip(*(record.timings for record in own), strict=True):
        # A coarser grid that is not cheaper is not worth having.
        cpu = np.minimum.accumulate(np.log([once[i].cpu for i in order]))
        found.append(float(np.exp(np.interp(np.log(error), errors[order], cpu))))
    return found


def compare(name: str, chosen: Any) -> list[Row]:
    """Return the rows of both packages on one process, with the ratio at equal error."""
    states = states_of(name)
    check = Check(states, truth(name, states))
    grids = {"physcore": (ours, OURS), "fplanck": (theirs, THEIRS[:2] if chosen.quick else THEIRS)}
    contestants = [
        runs.Contestant(name=f"{package} {count} x {count}", prepare=build, arguments=(name, count), check=check)
        for package, (build, counts) in grids.items()
        for count in counts
    ]
    records = [record for record in runs.alternate(contestants, chosen.rounds) if not record.absent]
    own = [record for record in records if record.contestant.name.startswith("physcore")]
    rows = []
    for record in records:
        cpu = [timing.cpu for timing in record.timings]
        row = {"name": record.contestant.name, "cpu_s": statistics.median(cpu), "cpu_low": min(cpu)}
        row |= {"cpu_high": max(cpu)} | record.checked
        if record.contestant.name.startswith("fplanck"):
            pairs = zip(cpu, at_equal_error(own, record.checked["error"]), strict=True)
            ratios = [(theirs / ours, (theirs - row["assembly_s"]) / ours) for theirs, ours in pairs]
            row["cpu_ratio"], row["ratio_without"] = (statistics.median(column) for column in zip(*ratios, strict=True))
        rows.append(row)
    runs.table(f"{PROCESSES[name]!r} at t = {MOMENT:g}", rows)
    return rows


def particle(temperature: float) -> tuple[InertialActiveOrnsteinUhlenbeck, OrnsteinUhlenbeck]:
    """Return the particle in three dimensions and the same as a linear process with its exact law."""
    process = InertialActiveOrnsteinUhlenbeck(temperature=temperature)
    widths = (process.initial_width, process.initial_speed, math.sqrt(process.swim_variance))
    linear = OrnsteinUhlenbeck(
        drift_matrix=((0.0, 1.0, 0.0), (-1.0, -1.0, 1.0), (0.0, 0.0, -1.0)),
        noise_matrix=tuple(tuple(row) for row in process.noise(torch.tensor(0.0)).tolist()),
        initial_covariance=tuple(tuple(w * w if i == j else 0.0 for j in range(3)) for i, w in enumerate(widths)),
    )
    return process, linear


def solve_in_space(temperature: float, options: Row, times: list[float]) -> list[Row]:
    """Solve once in this process; return a row for each time."""
    torch.set_num_threads(1)
    process, linear = particle(temperature)
    reference = FokkerPlanck(process, **options)
    wall, cpu = time.perf_counter(), time.process_time()
    reference.prepare(times)
    cost = {
        "cells": " x ".join(map(str, reference.resolution[0])),
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - wall,
        "peak_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    rows = []
    for moment in times:
        law: Gaussian = linear.law(torch.tensor(moment)) if math.isfinite(moment) else linear.stationary_law()
        states = law.sample(STATES, torch.Generator().manual_seed(1))
        found = relative_error(reference.score(states, moment), law.score(states))
        rows.append({"T": temperature, "t": moment, **cost, **found, "own_estimate": reference.error_estimate(moment)})
    return rows


def space(chosen: Any) -> list[Row]:
    """Return costs and errors of the solutions in three dimensions, each in a process of its own."""
    grids: list[Row] = [{"cells": (count,) * 3} for count in ((32, 48) if chosen.quick else (48, 64, 96))]
    if not chosen.quick:
        grids.append({})
    rows: list[Row] = []
    context = multiprocessing.get_context("spawn")
    for temperature in (0.5, 0.0):
        for options in grids:
            with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
                rows += pool.submit(solve_in_space, temperature, options, [1.0, 3.0]).result()
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        rows += pool.submit(solve_in_space, 0.5, grids[-2] if not chosen.quick else grids[0], [math.inf]).result()
    runs.table("inertial active Ornstein-Uhlenbeck particle, three dimensions", rows)
    return rows


def main() -> None:
    """Measure and report."""
    torch.set_num_threads(1)
    chosen = runs.options(__doc__.partition("\n")[0], ("peer", "broad", "well", "space"))
    measured = {name: space(chosen) if name == "space" else compare(name, chosen) for name in chosen.sections}
    runs.write("fokker_planck", measured, ("torch", "numpy", "scipy", "fplanck"))


if __name__ == "__main__":
    main()
