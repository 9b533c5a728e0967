"""Error of the score against training time, for every objective with the same network, data and budget.

Run as ``python tests/benchmarks/objectives.py [case ...] [--seconds 60 | --steps 20000] [--quick]`` on a quiet machine.
Each objective is fitted anew for an eighth, a quarter, half and all of the budget, each time with the learning rate
taken to zero: seconds of training on one thread, or steps. The error is E|s - s_ref|^2 / E|s_ref|^2 on fresh paths,
averaged over some times. Prints a table for each case, with the part of the time of Hutchinson's implicit score
matching in which its final error was reached, and writes ``objectives.json`` into the working directory. An objective
that does not suit a process is listed with its reason.
"""

import argparse
import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
import xarray as xr
from alternating_runs import Row, table, write
from objective_cases import CASES, YARDSTICK, Case

from analysis import Reference, compare
from physcore.score import Direct, Local, Objective, Training, fit

PARTS = (8, 4, 2, 1)  # of the budget
CALIBRATION_STEPS = (64, 192)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Budget:
    """What an objective is given.

    Arguments:
        seconds: Seconds of training; steps count instead when None.
        steps: Steps.
        batch: Samples in a step.
        direct: Whether the network is the score itself; else it is in the local parametrisation.
    """

    seconds: float | None
    steps: int
    batch: int
    direct: bool = False


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

    def rows(self, objectives: Sequence[str]) -> list[Row]:
        """Return a row for each objective."""
        rows: list[Row] = []
        for name in objectives:
            try:
                rows.append({"objective": name, **self._row(self.case.objectives[name])})
            except (ValueError, ArithmeticError) as reason:
                rows.append({"objective": name, "refused": str(reason).partition(". Use ")[0]})
            print(rows[-1], flush=True)
        return with_ratios(rows)

    def _row(self, objective: Objective) -> Row:
        row: Row = {}
        rate = self._steps_per_second(objective) if self.budget.seconds else 0.0
        for part in PARTS:
            steps = max(1, round(rate * self.budget.seconds if self.budget.seconds else self.budget.steps) // part)
            row |= {f"{key}_{part}": value for key, value in self._fitted(objective, steps).items()}
        return row | {"steps": steps}

    def _steps_per_second(self, objective: Objective) -> float:
        few, many = CALIBRATION_STEPS
        self._score(objective, few)  # kernels are compiled once, at no one's cost
        seconds = [self._score(objective, steps)[1] for steps in (few, many)]
        return (many - few) / (seconds[1] - seconds[0])

    def _fitted(self, objective: Objective, steps: int) -> Row:
        """Return seconds of training and error of the score."""
        score, seconds = self._score(objective, steps)
        compared = compare(score, self.reference, self.fresh, times=self.case.times)["value"].squeeze("reference")
        errors = {name: float(compared.sel(selection=name).mean()) for name in ("full", "driven")}
        return {"seconds": seconds, "error": errors["full"], "driven": errors["driven"]}

    def _score(self, objective: Objective, steps: int) -> tuple[Any, float]:
        training = Training(
            steps=steps,
            batch=self.budget.batch,
            # Trained from a little before, so that the first time compared at is no border.
            first_time=0.8 * self.case.times[0],
            validate_every=steps,  # none of the time goes into validation
            checkpoint_every=steps,
        )
        model = Direct() if self.budget.direct else Local(window=self.case.window)
        score = fit(self.case.process, self.data, objective=objective, model=model, training=training, seed=1)
        assert score.history is not None
        return score, float(score.history["elapsed"][-1])


def with_ratios(rows: list[Row]) -> list[Row]:
    """Return the rows with the part of the yardstick's time in which its final error was reached."""
    finals = [row for row in rows if row["objective"] == YARDSTICK and "error_1" in row]
    if not finals:
        return rows
    goal, whole = finals[0]["error_1"], finals[0]["seconds_1"]
    return [row | ({"time_ratio": seconds_to(row, goal) / whole} if "error_1" in row else {}) for row in rows]


def seconds_to(row: Row, goal: float) -> float:
    """Return the seconds to an error, interpolated in the logarithms; an upper bound if the first fit has reached it.

    Infinite where the last one has not.
    """
    points = [(row[f"seconds_{part}"], row[f"error_{part}"]) for part in PARTS]
    if points[0][1] <= goal:
        return float(points[0][0])
    for (t0, e0), (t1, e1) in itertools.pairwise(points):
        if e1 <= goal:
            part = math.log(e0 / goal) / math.log(e0 / e1)
            return float(t0 * (t1 / t0) ** part)
    return math.inf


def shown(row: Row) -> Row:
    """Return a row for people: errors in percent at rising seconds."""
    if "refused" in row:
        return {"objective": row["objective"], "steps": "refused: " + row["refused"][:60]}
    cells: Row = {"objective": row["objective"], "steps": row["steps"]}
    for part in PARTS:
        cells[f"1/{part}"] = f"{100 * row[f'error_{part}']:.3g} % in {row[f'seconds_{part}']:.3g} s"
    cells["driven"] = f"{100 * row['driven_1']:.3g} %"
    if "time_ratio" in row:
        cells["time to yardstick"] = row["time_ratio"]
    return cells


def main() -> None:
    """Run the cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; all if none")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--seconds", type=float, help="seconds of training for each objective")
    budget.add_argument("--steps", type=int, default=20_000, help="steps for each objective")
    parser.add_argument("--batch", type=int, default=1024, help="samples in a step")
    parser.add_argument("--paths", type=int, default=50_000, help="paths to learn from")
    parser.add_argument("--direct", action="store_true", help="the network is the score; else it is local")
    parser.add_argument("--objectives", nargs="+", help="names of objectives, all if none")
    parser.add_argument("--quick", action="store_true", help="a few steps of small batches, to see that all of it runs")
    chosen = parser.parse_args()
    for name in chosen.cases:
        if name not in CASES:
            parser.error(f"unknown case {name!r}; known: {', '.join(CASES)}")
    torch.set_num_threads(1)
    given = Budget(seconds=chosen.seconds, steps=chosen.steps, batch=chosen.batch, direct=chosen.direct)
    paths = chosen.paths
    if chosen.quick:
        given, paths = Budget(seconds=None, steps=16, batch=64, direct=chosen.direct), 1000
    report: dict[str, Any] = {"budget": dataclasses.asdict(given) | {"paths": paths}}
    for name in chosen.cases or CASES:
        case = CASES[name]
        reference = case.reference(case.process)
        reference.prepare(case.times)
        contest = Contest(
            case=case,
            budget=given,
            data=case.paths(paths, seed=7),
            fresh=case.paths(min(paths, 20_000), seed=8),
            reference=reference,
        )
        report[name] = contest.rows(chosen.objectives or list(case.objectives))
        table(name, [shown(row) for row in report[name]])
    write("objectives", report, ("physcore", "torch"))


if __name__ == "__main__":
    main()
