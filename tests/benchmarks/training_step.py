"""Share of a training step that the network itself takes.

Run as ``python tests/benchmarks/training_step.py [batch [repeats]]``, by default 4096 and 7. Steps of a fit to the
active swimmer, with targets, preparation, optimiser and average, alternate in one process with bare passes of the same
network forwards and backwards over the same points. Prints a table, and writes JSON into the working directory.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import xarray as xr

from physcore import SerialCommunicator
from physcore.score import Local, LocalDenoising, Objective, PathWeightedDenoising, Training
from physcore.score.batches import TrajectoryBatches
from physcore.score.optimization import Optimization
from physcore.score.pool import SamplePool
from physcore.score.source import Stored
from physcore.score.trainer import Trainer
from physcore.stopping import NEVER
from simulations import ActiveSwimmer, simulate

OBJECTIVES = {"local denoising": LocalDenoising(), "path weights": PathWeightedDenoising(lag=1.0)}


def trainer(trajectories: xr.Dataset, objective: Objective, training: Training) -> Trainer:
    """Return a fit of the swimmer before its first step."""
    process, communicator = ActiveSwimmer(), SerialCommunicator()
    batches = TrajectoryBatches(process, trajectories, training, torch.device("cpu"))
    time_range = batches.time_range(objective.schedule)
    score = Local(window=0.75).build(process, batches.pilot, objective.schedule, time_range)
    pool = SamplePool(
        source=Stored(batches),
        objective=objective,
        model=score,
        training=training,
        seed=1,
        communicator=communicator,
    )
    fit = Trainer(
        pool=pool,
        optimization=Optimization(score, training, communicator),
        seed=1,
        settings={},
        communicator=communicator,
        folder=None,
        metrics=None,
        stop=NEVER,
    )
    fit._resume()
    return fit


def seconds(work: Callable[[], None]) -> float:
    """Return how long a piece of work keeps the one thread busy, which others on the machine do not change."""
    began = time.process_time()
    work()
    return time.process_time() - began


def measured(fit: Trainer, repeats: int) -> dict[str, Any]:
    """Return milliseconds a step, whole and by parts, and the network's share."""
    pool, score, steps = fit.pool, fit.optimization.score, fit.pool.steps
    prepared = pool.samples(0).prepared
    assert prepared is not None

    def whole() -> None:
        for _ in range(steps):
            fit._advance()
            fit.step += 1

    def network() -> None:
        for _ in range(steps):
            score.weighted(prepared).sum().backward()  # type: ignore[no-untyped-call]

    def samples() -> None:
        pool._index = -1  # as if the last step had been of another pool
        for step in range(steps):
            pool.samples(step)

    def update() -> None:
        loss = fit.optimization._parameters.sum()
        for _ in range(steps):
            fit.optimization.step(0.0 * loss, fit.step)

    parts = {"step": whole, "network": network, "samples": samples, "update": update}
    for work in parts.values():
        work()
    rounds = [{name: seconds(work) for name, work in parts.items()} for _ in range(repeats)]
    row = {name: 1e3 * statistics.median(each[name] for each in rounds) / steps for name in parts}
    return row | {"share": statistics.median(each["network"] / each["step"] for each in rounds)}


def main() -> None:
    """Measure with each objective and report."""
    torch.set_num_threads(1)
    batch, repeats = ([int(word) for word in sys.argv[1:]] + [4096, 7][len(sys.argv) - 1 :])[:2]
    trajectories = simulate(ActiveSwimmer(), paths=20_000, duration=5.0, dt=1e-3, save_every=50, seed=7)
    training = Training(steps=10**6, batch=batch, first_time=0.3)
    print(f"batch {batch}, milliseconds a step")
    print(f"{'objective':<18}{'step':>9}{'network':>9}{'samples':>9}{'update':>9}{'share':>8}")
    table = []
    for name, objective in OBJECTIVES.items():
        row = measured(trainer(trajectories, objective, training), repeats)
        cells = "".join(f"{row[part]:9.3f}" for part in ("step", "network", "samples", "update"))
        print(f"{name:<18}{cells}{row['share']:8.1%}", flush=True)
        table.append({"objective": name, "batch": batch, **row})
    Path("training_step.json").write_text(json.dumps(table, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
