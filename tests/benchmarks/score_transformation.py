"""Cost of carrying a score through a map, relative to the score itself.

Run as ``python tests/benchmarks/score_transformation.py``. For 2 to 100 components prints the CPU time of score and
transformation together over that of the score alone, in turns in one process: medians of ratios. The scores are that
of a mixture of four Gaussians in closed form and that of a network of three layers of 64. The aim is at most 3.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from physcore.mixture import GaussianMixture
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
    """Return flows of two couplings, if zuko is there; whatever the dimension they take two passes."""
    try:
        import zuko
    except ImportError:
        return {}
    torch.manual_seed(0)
    flow = flow_bijection(zuko.flows.NICE(dimension, transforms=2, hidden_features=(64,)))
    return {"coupling flow": flow, "coupling flow, inverted": Inverted(bijection=flow)}


def scores(dimension: int) -> dict[str, Score]:
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Linear(dimension, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(),
        nn.Linear(64, dimension),
    )  # fmt: skip
    means = tuple(tuple(row) for row in torch.randn(4, dimension).tolist())
    return {"mixture": GaussianMixture(means=means, width=1.0).score, "network": network}


def points(name: str, paths: int, dimension: int) -> Tensor:
    state = torch.randn(paths, dimension, generator=torch.Generator().manual_seed(2))
    return state.exp() if name == "power" else 0.3 * state


def seconds(run: Callable[[], object], calls: int) -> float:
    """Return CPU seconds of one thread, which what else the machine does touches least."""
    began = time.process_time()
    for _ in range(calls):
        run()
    return (time.process_time() - began) / calls


def ratio(bijection: Bijection, score: Score, state: Tensor, rounds: int) -> float:
    """Return the median of the times of score and transformation over those of the score, alternately."""

    def both() -> Tensor:
        return transform_score(bijection, state, score(state))

    with torch.no_grad():
        for _ in range(3):
            both()
        calls = max(1, int(0.01 / seconds(lambda: score(state), 3)))
        return statistics.median(seconds(both, calls) / seconds(lambda: score(state), calls) for _ in range(rounds))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paths", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for kind in ("mixture", "network"):
        print(f"\n{kind}, {chosen.paths} points, aim {AIM:g}")
        print("map".ljust(24), *(f"d={d}".rjust(7) for d in DIMENSIONS))
        table = {d: maps(d) for d in DIMENSIONS}
        for name in table[2]:
            cells = []
            for d in DIMENSIONS:
                if name not in table[d]:
                    continue
                value = ratio(table[d][name], scores(d)[kind], points(name, chosen.paths, d), chosen.rounds)
                cells.append(f"{value:6.2f}{'!' if value > AIM else ' '}")
            print(name.ljust(24), *cells, flush=True)


if __name__ == "__main__":
    main()
