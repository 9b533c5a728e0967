"""Compositions of one's own: the score learned of their log-ratios, new ones sampled on the simplex.

Run as ``python tests/benchmarks/compositions.py TABLE --parts A B C``; ``--help`` lists the rest. The table is a file
of values separated by commas, semicolons or tabs with the names of its columns on the first line.

A fifth of the rows is held out. The log-ratios of the others are noised by an Ornstein-Uhlenbeck process, the score is
learned by denoising with its exact transition, and compositions are sampled back on the simplex by the reverse-time
lemma of Ito, without a score being learned there. They are compared with the held-out rows by the energy distance of
parts and of centred log-ratios, beside its noise floor from permutations, by the variation matrix, and, for three
parts, in a ternary plot. Without the term of Ito, or with its sign wrong, the samples must be told from the data. As
many are sampled with the score of the noised rows themselves, which no learned one should be better than. Prints tables
and writes ``compositions.json``, ``compositions.nc`` with the samples and ``compositions.png`` into the working
directory.
"""

import argparse
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from torch import Tensor

from analysis import aitchison_summary, centred_log_ratios, permuted_energy_distance
from physcore.score import MLP, ExactDenoising, NoisePrediction, ScoreModel, Training, fit
from physcore.storage.netcdf import write_dataset
from physcore.transform import (
    AdditiveLogistic,
    Composition,
    Compositions,
    TransformedProcess,
    read_compositions,
    sample_reverse,
)
from simulations import NoisedSamples, simulate

SLOWEST, FASTEST = 0.1, 20.0  # rates of the variance-preserving schedule, in which steps are even
END = 0.25 * (SLOWEST + FASTEST)  # relaxation times
FIRST = 1e-3  # the last time that is sampled back to; a deviation of 4 % of that of the data
MARGIN = 1e-6  # smallest part that is left on the simplex
SIMPLEX = AdditiveLogistic()
STEPS = (250, 500)

Score = Callable[[Tensor, Tensor], Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ablated(TransformedProcess):
    """The lemma with its term of Ito multiplied by a factor: -1 is the wrong sign, 0 leaves it out."""

    factor: float

    def reverse_drift(self, state: Tensor, time: Tensor, score: Score) -> Tensor:
        origin = self.origin(state)
        term = 0.5 * self.bijection.hessian_contraction(origin, self.process.noise_for(origin, time))
        return super().reverse_drift(state, time, score) + (self.factor - 1) * term


def noised(compositions: Compositions) -> NoisedSamples:
    """Return the noising of log-ratios, one for each part but the last."""
    rows = tuple(map(tuple, compositions.log_ratios.tolist()))
    return NoisedSamples(samples=rows, names=tuple(f"log_ratio_{i}" for i in range(len(rows[0]))))


def learned(process: NoisedSamples, *, paths: int, steps: int, seed: int) -> ScoreModel:
    """Return the score of the noised log-ratios."""
    ends = simulate(process, paths=paths, duration=END, dt=END, scheme="exact-linear", seed=seed)
    return fit(
        process,
        ends,
        objective=ExactDenoising(lag=END),
        model=NoisePrediction(network=MLP(width=64, depth=3)),
        training=Training(steps=steps, batch=1024, learning_rate=3e-3, first_time=FIRST, early_emphasis=3.0),
        seed=seed,
    )


def times(steps: int) -> list[float]:
    """Return decreasing times, even steps of a clock whose rate grows linearly; the last one is ``FIRST``."""
    share = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    clock = 0.5 * (SLOWEST * share + 0.5 * (FASTEST - SLOWEST) * share**2)
    return [*(float(time) for time in clock if time > FIRST), FIRST]


def ways(process: NoisedSamples) -> dict[str, TransformedProcess]:
    """Return the processes to reverse, by name."""
    return {
        "before the map": TransformedProcess(process=process, bijection=Composition()),
        "lemma": TransformedProcess(process=process, bijection=SIMPLEX),
        "wrong sign": Ablated(process=process, bijection=SIMPLEX, factor=-1.0),
        "no Ito term": Ablated(process=process, bijection=SIMPLEX, factor=0.0),
    }


def sampled(
    process: NoisedSamples, score: Score, way: str, *, paths: int, steps: int, seed: int
) -> tuple[Tensor, float]:
    """Return compositions of all parts, and the fraction of steps that left the simplex."""
    generator = torch.Generator().manual_seed(seed)
    start, mapped = process.sample_stationary(paths, generator), way != "before the map"
    start = SIMPLEX.forward(start) if mapped else start
    restore = (lambda state: SIMPLEX.restore(state, MARGIN)) if mapped else None
    back = sample_reverse(ways(process)[way], score, start, times(steps), generator, restore=restore)
    return SIMPLEX.parts(back.state if mapped else SIMPLEX.forward(back.state)), back.outside


def distances(first: Tensor, second: Tensor, permutations: int) -> dict[str, dict[str, float]]:
    """Return the energy distances of parts and of centred log-ratios, with their noise floors."""
    found = {}
    for name, seen in (("parts", lambda parts: parts), ("log-ratios", centred_log_ratios)):
        distance = permuted_energy_distance(seen(first), seen(second), permutations=permutations)
        found[name] = {key: float(distance[key]) for key in ("value", "floor", "significance")}
    return found


def acceptance(
    process: NoisedSamples,
    score: Score,
    held_out: Compositions,
    *,
    paths: int,
    steps: int,
    permutations: int,
    seed: int,
) -> tuple[dict[str, Any], Tensor]:
    """Return the distances of every way to the held-out compositions, and the samples of the lemma."""
    table: dict[str, Any] = {}
    kept = held_out.parts
    for way in ways(process):
        parts, outside = sampled(process, score, way, paths=paths, steps=steps, seed=seed)
        table[way] = {**distances(parts, held_out.parts, permutations), "left": outside}
        kept = parts if way == "lemma" else kept
    return table, kept


def report(table: dict[str, Any], title: str) -> None:
    print(f"\n{title}\n{'':22}" + "".join(f"{name:>34}" for name in ("parts", "log-ratios")) + "   left")
    for way, row in table.items():
        cells = [
            f"{row[n]['value']:11.5f} ({row[n]['floor']:.5f}) p {row[n]['significance']:.3f}"
            for n in row
            if n != "left"
        ]
        print(f"{way:22}" + "".join(f"{cell:>34}" for cell in cells) + f"   {row.get('left', 0.0):.1e}", flush=True)


def geometry(samples: Compositions, held_out: Compositions, training: Compositions) -> dict[str, Any]:
    """Print and return centre and variances of the three sets."""
    found = {name: aitchison_summary(each) for name, each in
             (("sampled", samples), ("held out", held_out), ("learned from", training))}  # fmt: skip
    print("\ntotal variance, centre, variation matrix above its diagonal")
    for name, summary in found.items():
        over, beside = torch.triu_indices(len(samples.names), len(samples.names), 1).tolist()
        value, error = (
            summary["variation"].values[over, beside],
            summary["variation_standard_error"].values[over, beside],
        )
        total = f"{float(summary['total_variance']):.3f} +- {float(summary['total_variance_standard_error']):.3f}"
        shares = " ".join(f"{share:.3f}" for share in summary["centre"].values)
        pairs = " ".join(f"{v:.3f}+-{e:.3f}" for v, e in zip(value, error, strict=True))
        print(f"{name:14}{total}   {shares}   {pairs}")
    return {name: {key: summary[key].values.tolist() for key in summary.data_vars} for name, summary in found.items()}


def saved(parts: Tensor, names: tuple[str, ...]) -> xr.Dataset:
    values = {"composition": (("sample", "part"), parts.numpy(), {"long_name": "sampled composition", "units": "1"})}
    return xr.Dataset(values, {"part": list(names)})


def main() -> None:
    """Read, learn, sample, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--parts", nargs="+", help="columns that are the parts; all when left out")
    parser.add_argument("--zeros", choices=["refuse", "replace"], default="refuse")
    parser.add_argument("--missing", choices=["refuse", "drop"], default="refuse")
    parser.add_argument("--held_out", type=float, default=0.2)
    parser.add_argument("--paths", type=int, default=20_000, help="noised paths to learn from")
    parser.add_argument("--training", type=int, default=4000, help="steps of the fit")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS, help="steps back in time")
    parser.add_argument("--permutations", type=int, default=500)
    parser.add_argument("--seed", type=int, default=7)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    table = read_compositions(chosen.table, chosen.parts, zeros=chosen.zeros, missing=chosen.missing)
    training, held_out = table.split(chosen.held_out, chosen.seed)
    process = noised(training)
    score = learned(process, paths=chosen.paths, steps=chosen.training, seed=chosen.seed)
    print(f"{chosen.table.name}: {len(training)} rows to learn from, {len(held_out)} held out")
    results: dict[str, Any] = {}
    found = {"rows learned from": distances(training.parts, held_out.parts, chosen.permutations)}
    for steps in chosen.steps:
        rows, parts = acceptance(
            process,
            score,
            held_out,
            paths=chosen.samples,
            steps=steps,
            permutations=chosen.permutations,
            seed=chosen.seed,
        )
        control, _ = sampled(process, process.score, "lemma", paths=chosen.samples, steps=steps, seed=chosen.seed)
        found["lemma, closed score"] = distances(control, held_out.parts, chosen.permutations)
        results[str(steps)] = rows | found
        report(results[str(steps)], f"{steps} steps: energy distance to held-out rows (noise floor), significance")
    samples = Compositions(table.names, parts)
    results["geometry"] = geometry(samples, held_out, training)
    Path("compositions.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    write_dataset(saved(parts, table.names), Path("compositions.nc"))
    if len(table.names) == 3:
        from analysis.plots import plot_ternary
        from analysis.plots.figure import save_figure

        shown = {"learned from": training.parts, "held out": held_out.parts, "sampled": parts}
        save_figure(plot_ternary(shown, table.names), Path("compositions.png"))


if __name__ == "__main__":
    main()
