"""Error of the score against training time, for every objective with the same network, data and budget.

Run as ``python tests/benchmarks/objectives.py [case ...] [--seconds 60] [--parts 10 1] [--objectives NAME ...]``. The
budget is processor seconds of one thread spent in the fit alone, so that what else the machine does counts little: how
many steps they allow is measured first. Each part, a tenth and the whole when not said otherwise, is a fit of its own
with the learning rate taken to zero. The error is E|s - s_ref|^2 / E|s_ref|^2 on fresh paths, averaged over some times.

Every finished fit is a file in ``--folder``, ``objectives`` in the working directory when omitted, and is not done
again; an objective that does not suit a process, or whose fit does not end, leaves its reason there. The tables are
those of all fits found, with the part of the time of Hutchinson's implicit score matching in which its final error was
reached.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import xarray as xr
from alternating_runs import Row, machine
from objective_cases import CASES, Case, Contestant
from objective_table import markdown, slug

from analysis import Reference, compare
from physcore.score import Training, fit
from physcore.storage.publishing import publish_text

CALIBRATION_STEPS = (2, 64)
CALIBRATION_PART = 0.1  # of the budget, above which no longer calibration is tried
VALIDATION_SAMPLES = 256
FRESH_NUMBERS = 200_000  # at a time, in many components


@dataclasses.dataclass(frozen=True, kw_only=True)
class Budget:
    """What an objective is given.

    Arguments:
        seconds: Processor seconds of training.
        batch: Samples in a step.
    """

    seconds: float
    batch: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contest:
    """The fits of one case.

    Arguments:
        case: The case.
        budget: What each objective is given.
        data: Paths to learn from.
        fresh: Paths to compare on.
        reference: The reference, prepared.
    """

    case: Case
    budget: Budget
    data: xr.Dataset
    fresh: xr.Dataset
    reference: Reference

    def steps_per_second(self, contestant: Contestant) -> float:
        """Return the steps that a second allows, kernels compiled.

        Raises:
            ValueError: If the budget is over before one step is done.
        """
        self._score(contestant, 1)
        rate = 0.0
        for steps in CALIBRATION_STEPS:
            rate = steps / self._score(contestant, steps)[1]
            if 3 * steps / rate > CALIBRATION_PART * self.budget.seconds:
                break
        if rate * self.budget.seconds < 1:
            raise ValueError(f"a step takes {1 / rate:.0f} s")
        return rate

    def fitted(self, contestant: Contestant, steps: int) -> Row:
        """Return steps, seconds of training and error of the score."""
        score, seconds = self._score(contestant, steps)
        compared = compare(score, self.reference, self.fresh, times=self.case.times)["value"].squeeze("reference")
        errors = {name: float(compared.sel(selection=name).mean()) for name in ("full", "driven")}
        return {"steps": steps, "seconds": seconds, "error": errors["full"], "driven": errors["driven"]}

    def _score(self, contestant: Contestant, steps: int) -> tuple[Any, float]:
        training = Training(
            steps=steps,
            batch=self.budget.batch,
            # Trained from a little before, so that the first time compared at is no border.
            first_time=0.8 * self.case.times[0],
            validate_every=steps,
            checkpoint_every=steps,
        )
        objective, model = contestant
        with processor_clock():
            score = fit(self.case.process, self.data, objective=objective, model=model, training=training, seed=1)
        assert score.history is not None
        return score, float(score.history["elapsed"][-1])


@contextmanager
def processor_clock() -> Iterator[None]:
    """Let fits count processor seconds, and be validated with few samples, since nothing is chosen by that."""
    with (
        mock.patch("time.perf_counter", time.process_time),
        mock.patch("physcore.score.pool.HELD_OUT_SAMPLES", VALIDATION_SAMPLES),
    ):
        yield


@dataclasses.dataclass(frozen=True)
class Cells:
    """Files of the fits.

    Arguments:
        folder: Where they are.
    """

    folder: Path

    def found(self, case: str, objective: str, entry: str) -> Row | None:
        """Return what was written, None where nothing was."""
        path = self._path(case, objective, entry)
        cell: Row | None = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        return cell

    def write(self, case: str, objective: str, entry: str, cell: Row) -> Row:
        """Write and return an entry."""
        path = self._path(case, objective, entry)
        path.parent.mkdir(parents=True, exist_ok=True)
        publish_text(path, json.dumps(cell))
        print(case, objective, entry, cell, flush=True)
        return cell

    def _path(self, case: str, objective: str, entry: str) -> Path:
        return self.folder / case / slug(objective) / f"{entry}.json"


def run(cells: Cells, name: str, wanted: Sequence[tuple[int, str]], budget: Budget, paths: int) -> None:
    """Do the fits of one case that are missing, of parts of the budget and objectives."""
    case = CASES[name]

    def missing(part: int, each: str) -> bool:
        return not (cells.found(name, each, "refused") or cells.found(name, each, f"part-{part}"))

    if not any(missing(part, each) for part, each in wanted):
        return
    paths = min(paths, case.most_paths)
    reference = case.reference(case.process)
    reference.prepare(case.times)
    contest = Contest(
        case=case,
        budget=budget,
        data=case.paths(paths, seed=7),
        fresh=case.paths(min(paths, FRESH_NUMBERS // case.process.dimension, 20_000), seed=8),
        reference=reference,
    )
    for part, each in wanted:
        if not missing(part, each):
            continue
        contestant = case.contestants[each]
        try:
            rate = cells.found(name, each, "rate") or cells.write(
                name, each, "rate", {"steps_per_second": contest.steps_per_second(contestant)}
            )
            steps = max(1, round(rate["steps_per_second"] * budget.seconds / part))
            cells.write(name, each, f"part-{part}", contest.fitted(contestant, steps))
        except (ValueError, ArithmeticError, RuntimeError) as reason:
            cells.write(name, each, "refused", {"reason": str(reason).partition(". Use ")[0]})


def main() -> None:
    """Run the cases and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; all if none")
    parser.add_argument("--seconds", type=float, default=60.0, help="processor seconds of training for each objective")
    parser.add_argument("--parts", type=int, nargs="*", default=[10, 1], help="parts of the budget: 10 is a tenth")
    parser.add_argument("--batch", type=int, default=1024, help="samples in a step")
    parser.add_argument("--paths", type=int, default=50_000, help="paths to learn from, fewer in many components")
    parser.add_argument("--objectives", nargs="+", help="names of objectives, all if none")
    parser.add_argument("--whole", nargs="+", help="those of them that are given the whole budget, all if none")
    parser.add_argument("--folder", type=Path, default=Path("objectives"), help="where the fits are kept")
    parser.add_argument("--quick", action="store_true", help="a moment with small batches, to see that all of it runs")
    chosen = parser.parse_args()
    for name in chosen.cases:
        if name not in CASES:
            parser.error(f"unknown case {name!r}; known: {', '.join(CASES)}")
    torch.set_num_threads(1)
    budget = Budget(seconds=chosen.seconds, batch=chosen.batch)
    paths = chosen.paths
    if chosen.quick:
        budget, paths = Budget(seconds=0.3, batch=64), 1000
    cells = Cells(chosen.folder)
    about = {"budget": dataclasses.asdict(budget), "paths": paths}
    known = cells.folder / "about.json"
    if known.is_file():
        if {key: json.loads(known.read_text(encoding="utf-8"))[key] for key in about} != about:
            parser.error(f"{cells.folder} has fits of another budget")
    else:
        cells.folder.mkdir(parents=True, exist_ok=True)
        publish_text(known, json.dumps(about | {"machine": machine(("physcore", "torch"))}, indent=1))
    for name in chosen.cases or CASES:
        objectives = chosen.objectives or list(CASES[name].contestants)
        wanted = [
            (part, each)
            for part in chosen.parts
            for each in objectives
            if part > 1 or each in (chosen.whole or objectives)
        ]
        run(cells, name, wanted, budget, paths)
    print(markdown(cells.folder))


if __name__ == "__main__":
    main()
