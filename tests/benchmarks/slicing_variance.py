"""Scatter of sliced losses over their slices, at points of a mixture of Gaussians.

Run as ``python tests/benchmarks/slicing_variance.py [dimension [slices]]``, by default 11 and 20000. The data are a
mixture of three Gaussians in random places, the model is the score of another one. At each of a few points the loss is
drawn along many slices; the exact one is that of diffusion score matching with the second moment of the slices, which
is the same for all whose second moment is one. Prints a table, and writes JSON into the working directory.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from physcore.mixture import GaussianMixture
from physcore.score import (
    ElementwiseWarp,
    GeneralizedSlicedScoreMatching,
    LinearProjection,
    QuadraticProjection,
    RandomFourier,
    Samples,
    ScoreModel,
    Slicing,
)
from physcore.score.model import Prepared
from physcore.score.parametrizations.frames import DiagonalFrame
from physcore.transform import Arcsinh
from simulations import OrnsteinUhlenbeck

SLICINGS: dict[str, Slicing] = {
    "linear, signs": LinearProjection(),
    "linear, normals": LinearProjection(directions="gaussian"),
    "linear, sphere": LinearProjection(directions="sphere"),
    "arcsinh warp, 2": ElementwiseWarp(bijection=Arcsinh(scale=2.0)),
    "quadratic, 0.1": QuadraticProjection(curvature=0.1),
    "waves, 0.1": RandomFourier(frequency=0.1),
    "waves, 0.25": RandomFourier(frequency=0.25),
    "waves, 1": RandomFourier(frequency=1.0),
}
POINTS = 5


def law(dimension: int, seed: int) -> GaussianMixture:
    """Return a mixture of three Gaussians in random places."""
    means = torch.randn(3, dimension, generator=torch.Generator().manual_seed(seed))
    return GaussianMixture(means=tuple(map(tuple, means.tolist())), width=0.8)


class Known(ScoreModel):
    """The score of a mixture."""

    def __init__(self, mixture: GaussianMixture) -> None:
        rows = tuple(map(tuple, torch.eye(mixture.dimension).tolist()))
        drift = tuple(tuple(-entry for entry in row) for row in rows)
        super().__init__(OrnsteinUhlenbeck(drift_matrix=drift, noise_matrix=rows), (0.0, 1.0))
        self.mixture, self.strength = mixture, nn.Parameter(torch.ones((), dtype=torch.float64))

    @property
    def options(self) -> dict[str, Any]:
        return {}

    def prepare(self, state: Tensor, time: Tensor) -> Prepared:
        frame = DiagonalFrame(torch.ones_like(state[:1]), self.learned)
        return Prepared(state.unsqueeze(-1), time.unsqueeze(-1), frame)

    def weighted(self, prepared: Prepared) -> Tensor:
        return self.strength * self.mixture.score(prepared.features[..., 0])


def measured(slicing: Slicing, model: ScoreModel, point: Tensor, slices: int, reduced: bool) -> tuple[float, float]:
    """Return mean and standard deviation of the loss over slices at one point."""
    objective = GeneralizedSlicedScoreMatching(slicing=slicing, variance_reduction=reduced)
    samples = Samples(state=point.expand(slices, 1, -1), time=torch.zeros(slices, dtype=point.dtype))
    with torch.no_grad():
        loss = objective.loss(model, samples, torch.Generator().manual_seed(1))
    return float(loss.mean()), float(loss.std())


def main() -> None:
    """Measure at every point and report the root mean square over points."""
    torch.set_num_threads(1)
    dimension, slices = ([int(word) for word in sys.argv[1:]] + [11, 20_000][len(sys.argv) - 1 :])[:2]
    model = Known(law(dimension, 2))
    points = law(dimension, 1).sample(POINTS, torch.Generator().manual_seed(3))
    print(f"{dimension} dimensions, {slices} slices at each of {POINTS} points")
    print(f"{'':<18}{'mean':>9}{'mean, reduced':>15}{'std':>9}{'std, reduced':>14}{'us a slice':>12}")
    table = []
    for name, slicing in SLICINGS.items():
        began = time.process_time()
        values = torch.tensor(
            [[measured(slicing, model, point, slices, reduced) for reduced in (False, True)] for point in points]
        )
        cost = 1e6 * (time.process_time() - began) / (2 * POINTS * slices)
        mean, std = values[..., 0].mean(0).tolist(), values[..., 1].square().mean(0).sqrt().tolist()
        print(f"{name:<18}{mean[0]:9.3f}{mean[1]:15.3f}{std[0]:9.3f}{std[1]:14.3f}{cost:12.2f}", flush=True)
        table.append({"slicing": name, "mean": mean, "std": std, "microseconds": cost})
    Path("slicing_variance.json").write_text(json.dumps(table, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
