"""Cost of carrying a score through a map, relative to the score itself.

Run as ``python tests/benchmarks/score_transformation.py [score ...]``. For 2 to 100 components prints the CPU time of
score and transformation together over that of the score alone, in turns in one process: medians of ratios. The aim is
at most 3. Writes ``score_transformation.json`` into the working directory. The scores are

- ``mixture``, four Gaussians in closed form, at 1,024 points;
- ``network``, three bare layers of 64, at 1,024 points;
- ``default``, what ``fit`` makes by default, those layers and the frame of the process, at 4,096 points.

Where the aim is missed there is a second line, of the same over the time of the score and one evaluation of the map,
and a third, of the map over the score.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from physcore.mixture import GaussianMixture
from physcore.score import FixedLag, Local
from physcore.score.lags import Pilot
from physcore.transform import (
    AdditiveLogistic,
    Affine,
    Arcsinh,
    Arctan,
    Bijection,
    Composition,
    Inverted,
    Polar,
    Power,
    Tanh,
    flow_bijection,
    transform_score,
)
from simulations import OrnsteinUhlenbeck

DIMENSIONS = (2, 5, 10, 20, 50, 100)
AIM = 3.0

Score = Callable[[Tensor], Tensor]


def matrix(dimension: int) -> list[list[float]]:
    generator = torch.Generator().manual_seed(dimension)
    noise = torch.randn(dimension, dimension, generator=generator, dtype=torch.float64) / math.sqrt(dimension)
    rows: list[list[float]] = (0.3 * noise + torch.eye(dimension, dtype=torch.float64)).tolist()
    return rows


def maps(dimension: int) -> dict[str, Bijection]:
    chain = Composition(bijections=(Arcsinh(), Affine(matrix=matrix(dimension)), Tanh(scale=8.0)))
    found: dict[str, Bijection] = {
        "affine": Affine(matrix=matrix(dimension)),
        "tanh": Tanh(scale=3.0),
        "arcsinh": Arcsinh(),
        "arctan": Arctan(),
        "power": Power(exponent=1.5),
        "simplex": AdditiveLogistic(),
        "chain of three": chain,
        "arcsinh, inverted": Inverted(bijection=Arcsinh()),
        "chain, inverted": Inverted(bijection=chain),
    }
    if dimension == 2:
        found["polar"] = Polar()
    return found | flows(dimension)


def flows(dimension: int) -> dict[str, Bijection]:
    """Return flows of two layers, if zuko is there."""
    try:
        import zuko
    except ImportError:
        return {}
    torch.manual_seed(0)
    layers: dict[str, Any] = {"transforms": 2, "hidden_features": (64,)}
    kinds = {"coupling": zuko.flows.NICE, "autoregressive": zuko.flows.MAF, "spline": zuko.flows.NSF}
    made = {f"{name} flow": kind(dimension, **layers) for name, kind in kinds.items()}
    found: dict[str, Bijection] = {}
    for name, flow in made.items():
        found[name] = flow_bijection(flow)
        found[f"{name}, inverted"] = Inverted(bijection=found[name])
    return found


def mixture(dimension: int) -> Score:
    torch.manual_seed(1)
    means = tuple(tuple(row) for row in torch.randn(4, dimension).tolist())
    return GaussianMixture(means=means, width=1.0).score


def network(dimension: int) -> Score:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Linear(dimension, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(),
        nn.Linear(64, dimension),
    )  # fmt: skip


def default(dimension: int) -> Score:
    """Return the score that a fit with default settings makes, before its first step."""
    eye = torch.eye(dimension, dtype=torch.float64)
    process = OrnsteinUhlenbeck(drift_matrix=(-eye).tolist(), noise_matrix=eye.tolist())
    states = 0.7 * torch.randn(11, 256, dimension, generator=torch.Generator().manual_seed(3))
    pilot = Pilot(process=process, times=torch.linspace(0, 1, 11, dtype=torch.float64), states=states)
    model = Local().build(process, pilot, FixedLag(gap=0.1), (0.1, 1.0))
    return lambda state: model(state, 0.5)


# How a score is built, and at how many points it is asked for.
KINDS: dict[str, tuple[Callable[[int], Score], int]] = {
    "mixture": (mixture, 1024),
    "network": (network, 1024),
    "default": (default, 4096),
}


def points(name: str, paths: int, dimension: int) -> Tensor:
    state = torch.randn(paths, dimension, generator=torch.Generator().manual_seed(2))
    return state.exp() if name == "power" else 0.3 * state


def seconds(run: Callable[[], object], calls: int) -> float:
    """Return CPU seconds of one thread, which what else the machine does touches least."""
    began = time.process_time()
    for _ in range(calls):
        run()
    return (time.process_time() - began) / calls


def ratios(bijection: Bijection, score: Score, state: Tensor, rounds: int) -> tuple[float, float]:
    """Return medians of the times of score and transformation, and of the map, over those of the score, in turns."""

    def both() -> Tensor:
        return transform_score(bijection, state, score(state))

    with torch.no_grad():
        for _ in range(3):
            both()
        calls = max(1, int(0.01 / seconds(lambda: score(state), 3)))
        found = []
        for _ in range(rounds):
            alone = seconds(lambda: score(state), calls)
            found.append((seconds(both, calls) / alone, seconds(lambda: bijection.forward(state), 1) / alone))
    return statistics.median(whole for whole, _ in found), statistics.median(once for _, once in found)


def table_of(kind: str, rounds: int) -> dict[str, dict[int, tuple[float, float]]]:
    """Print and return the ratios of one score, by map and dimension."""
    (build, paths), dimensions = KINDS[kind], DIMENSIONS
    print(f"\n{kind}, {paths} points, aim {AIM:g}")
    print("map".ljust(30), *(f"d={d}".rjust(7) for d in dimensions))
    known, scored = {d: maps(d) for d in dimensions}, {d: build(d) for d in dimensions}
    table: dict[str, dict[int, tuple[float, float]]] = {}
    for name in known[2]:
        table[name] = {}
        for d in dimensions:
            if name in known[d]:
                table[name][d] = ratios(known[d][name], scored[d], points(name, paths, d), rounds)
        rows = {name: [whole for whole, _ in table[name].values()]}
        if max(rows[name]) > AIM:
            rows["  over score and map"] = [whole / (1 + once) for whole, once in table[name].values()]
            rows["  map over score"] = [once for _, once in table[name].values()]
        for title, values in rows.items():
            cells = [f"{value:6.2f}{'!' if title == name and value > AIM else ' '}" for value in values]
            print(title.ljust(30), *cells, flush=True)
    return table


def main() -> None:
    """Print the tables and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scores", nargs="*", choices=[*KINDS, []], default=[])
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    tables = {kind: table_of(kind, chosen.rounds) for kind in chosen.scores or KINDS}
    Path("score_transformation.json").write_text(json.dumps(tables, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
