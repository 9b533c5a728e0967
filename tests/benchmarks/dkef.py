"""Deep kernel exponential families on three tables of the UCI repository, for every closed-form objective.

Run as ``python tests/benchmarks/dkef.py FOLDER [--tables red-wine ...] [--objectives SM ...] [--seeds 5] [--quick]``,
where the folder holds ``winequality-red.csv``, ``winequality-white.csv`` and ``parkinsons_updrs.data``; a table that is
missing is left out, with a word. Preparation and training are those of Song, Garg, Shi and Ermon, Sliced score matching
(2019). For each table, objective and seed: exact score matching loss on the test rows, and their mean log likelihood
with the normaliser from a million importance samples of N(0, 4), the protocol's proposal, and from 300,000 samples of
kernels about training rows, which meet narrow peaks that the first never sees. Every finished fit is written into
``dkef.json`` in the working directory, and a fit found there is not done again; the densities are kept in
``dkef-fits``. The table has means over the seeds with their standard errors, beside a Gaussian fitted to the same
training rows.
"""

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from alternating_runs import machine, table

from physcore.kernel_exponential_family import (
    DeepKernelExponentialFamily,
    DefensiveMixture,
    ExactFamilyMatching,
    FamilyObjective,
    FamilyTraining,
    IsotropicGaussian,
    SlicedFamilyMatching,
    fit_family,
    log_normalizer,
    save_family,
    score_matching_loss,
)
from physcore.law import Gaussian
from physcore.score.slicings import ElementwiseWarp
from physcore.storage.publishing import publish_text
from physcore.streams import Streams
from physcore.tables import PreparedTable, TablePreparation
from physcore.transform import Arcsinh

TABLES = {
    "red-wine": ("winequality-red.csv", TablePreparation.wine_quality()),
    "white-wine": ("winequality-white.csv", TablePreparation.wine_quality()),
    "parkinsons": ("parkinsons_updrs.data", TablePreparation.parkinsons()),
}
WARP = ElementwiseWarp(bijection=Arcsinh(scale=2.0))
OBJECTIVES: dict[str, FamilyObjective] = {
    "SM": ExactFamilyMatching(),
    "SSM": SlicedFamilyMatching(),
    "SSM-VR": SlicedFamilyMatching(variance_reduction=True),
    "GSSM": SlicedFamilyMatching(slicing=WARP),
    "GSSM-VR": SlicedFamilyMatching(slicing=WARP, variance_reduction=True),
}
BASELINE = "Gaussian"
CENTRES = 300  # of the nearer proposal
REPORT, FITS = Path("dkef.json"), Path("dkef-fits")

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Budget:
    """What each fit is given.

    Arguments:
        training: The protocol.
        samples: Importance samples of the protocol's proposal.
        near_samples: Importance samples of the mixture.
    """

    training: FamilyTraining = dataclasses.field(default_factory=FamilyTraining)
    samples: int = 1_000_000
    near_samples: int = 300_000


QUICK = Budget(training=FamilyTraining(epochs=1, refit_points=200, ridge_steps=5), samples=10_000, near_samples=3000)


def fitted(name: str, rows: PreparedTable, objective: FamilyObjective, seed: int, budget: Budget) -> Row:
    """Keep one fit in a file; return what it reached and what it took."""
    cpu, wall = time.process_time(), time.perf_counter()
    family = fit_family(rows.training, rows.validation, objective=objective, training=budget.training, seed=seed)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    FITS.mkdir(exist_ok=True)
    save_family(family, FITS / f"{name.replace('/', '-')}.pt")
    assert family.history is not None
    return evaluated(family, rows, seed, budget) | {
        "steps": family.history.sizes["step"],
        "best_step": family.history.attrs["best_step"],
        "cpu_s": cpu,
        "wall_s": wall,
        "learning_s": family.history.attrs["learning_seconds"],
    }


def evaluated(family: DeepKernelExponentialFamily, rows: PreparedTable, seed: int, budget: Budget) -> Row:
    """Return loss and likelihood on the test rows, with normalisers from the protocol's proposal and a nearer one."""
    loss, unnormalised = score_matching_loss(family, rows.test), family.log_density_unnormalised(rows.test)
    generator = Streams(seed, "benchmark/normaliser").generator()
    broad = log_normalizer(family, samples=budget.samples, generator=generator)
    few = rows.training[torch.randperm(len(rows.training), generator=generator)[:CENTRES]]
    mixture = DefensiveMixture(centres=few, broad=IsotropicGaussian(dimension=family.dimension))
    near = log_normalizer(family, samples=budget.near_samples, proposal=mixture, generator=generator)
    return {
        "loss": loss.value,
        "loss_error": loss.standard_error,
        "validation_loss": score_matching_loss(family, rows.validation).value,
        "log_likelihood": float(unnormalised.mean()) - broad.value,
        "log_likelihood_error": float(unnormalised.std()) / len(unnormalised) ** 0.5,
        "log_normalizer_error": broad.standard_error,
        "effective_samples": broad.effective_samples,
        "near_log_likelihood": float(unnormalised.mean()) - near.value,
        "near_log_normalizer_error": near.standard_error,
        "near_effective_samples": near.effective_samples,
        "log_ridge": float(family.log_ridge),
    }


def baseline(rows: PreparedTable) -> Row:
    """Return loss and likelihood of a Gaussian with mean and covariance of the training rows."""
    law = Gaussian(mean=rows.training.mean(0), covariance=torch.cov(rows.training.T))
    divergence = -float(torch.linalg.inv(law.covariance).trace())
    losses, likelihoods = 0.5 * law.score(rows.test).square().sum(-1) + divergence, law.log_density(rows.test)
    return {
        "loss": float(losses.mean()),
        "loss_error": float(losses.std()) / len(losses) ** 0.5,
        "log_likelihood": float(likelihoods.mean()),
        "log_likelihood_error": float(likelihoods.std()) / len(likelihoods) ** 0.5,
    }


def run(folder: Path, tables: Sequence[str], objectives: Sequence[str], seeds: int, budget: Budget) -> dict[str, Row]:
    """Do the fits that are not in the report yet, seed by seed; return all of it, by table, objective and seed."""
    report: Row = {"budget": dataclasses.asdict(budget), "machine": machine(("physcore", "torch")), "cells": {}}
    if REPORT.is_file():
        found = json.loads(REPORT.read_text(encoding="utf-8"))
        if found["budget"] != report["budget"]:
            raise SystemExit(f"{REPORT} was made with another budget; move it away")
        report["cells"] = found["cells"]
    cells: dict[str, Row] = report["cells"]
    for name in tables:
        file, preparation = TABLES[name]
        if not (folder / file).is_file():
            print(f"{name} left out: no {folder / file}", flush=True)
            continue
        for seed in range(seeds):
            missing = [each for each in (BASELINE, *objectives) if f"{name}/{each}/{seed}" not in cells]
            rows = preparation.prepare(folder / file, seed) if missing else None
            for each in missing:
                assert rows is not None
                key = f"{name}/{each}/{seed}"
                cell = baseline(rows) if each == BASELINE else fitted(key, rows, OBJECTIVES[each], seed, budget)
                cells[key] = cell
                publish_text(REPORT, json.dumps(report, indent=1))
                print(key, {quantity: round(value, 4) for quantity, value in cell.items()}, flush=True)
    return cells


def summary(cells: dict[str, Row], name: str) -> list[Row]:
    """Return a line for each objective: means over seeds, and how it stands to the Gaussian of the same seeds."""
    lines = []
    for objective in (BASELINE, *OBJECTIVES):
        seeds = [key.rpartition("/")[2] for key in cells if key.startswith(f"{name}/{objective}/")]
        if not seeds:
            continue
        own = [cells[f"{name}/{objective}/{seed}"] for seed in seeds]
        gaussian = [cells[f"{name}/{BASELINE}/{seed}"] for seed in seeds]
        line: Row = {"objective": objective, "seeds": len(seeds)}
        line["loss"] = shown([cell["loss"] for cell in own])
        line["log likelihood"] = shown([cell["log_likelihood"] for cell in own])
        if objective != BASELINE:
            near = [cell["near_log_likelihood"] for cell in own]
            line["error of log Z"] = max(cell["log_normalizer_error"] for cell in own)
            line["nearer proposal: median (worst)"] = f"{statistics.median(near):.2f} ({min(near):.2f})"
            line["beats the Gaussian: loss, likelihood, nearer"] = verdict(own, gaussian)
            line["steps"] = f"{statistics.median(cell['steps'] for cell in own):.0f}"
            line["CPU s"] = f"{statistics.median(cell['cpu_s'] for cell in own):.0f}"
        lines.append(line)
    return lines


def shown(values: Sequence[float]) -> str:
    """Return a mean with its standard error over seeds."""
    mean = f"{statistics.fmean(values):.3f}"
    return mean if len(values) < 2 else f"{mean} +- {statistics.stdev(values) / len(values) ** 0.5:.3f}"


def verdict(own: Sequence[Row], gaussian: Sequence[Row]) -> str:
    """Return in how many seeds each quantity is better than the Gaussian's, and NOT where it is not in all."""
    words = []
    for reached, other, sign in (
        ("loss", "loss", -1),
        ("log_likelihood", "log_likelihood", 1),
        ("near_log_likelihood", "log_likelihood", 1),
    ):
        better = sum(sign * (one[reached] - null[other]) > 0 for one, null in zip(own, gaussian, strict=True))
        words.append(f"{'' if better == len(own) else 'NOT '}{better}/{len(own)}")
    return ", ".join(words)


def main() -> None:
    """Fit what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the tables lie")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--objectives", nargs="+", choices=OBJECTIVES, default=list(OBJECTIVES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a few steps and samples, to see that all of it runs")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # of kernels far from their centre: a tenth of the time
    budget = QUICK if chosen.quick else Budget()
    cells = run(chosen.folder, chosen.tables, chosen.objectives, chosen.seeds, budget)
    for name in chosen.tables:
        table(name, summary(cells, name))


if __name__ == "__main__":
    main()
