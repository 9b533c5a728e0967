r"""Sampling on the simplex with a score known in the space before the additive logistic map.

Run as ``python tests/benchmarks/simplex_sampling.py [steps ...]``; without steps 50, 100, 250, 500 and 1000.

A mixture of three logistic-normal laws on the simplex of three parts is noised by a variance-preserving
Ornstein-Uhlenbeck process and sampled back: in steps of Euler and Maruyama before the map, on the simplex by the
reverse-time lemma of Ito, on the simplex with the term of Ito missing or of the wrong sign, and along the probability
flow in steps of Heun. Prints the energy distance to the true law, of parts, and the fraction of steps that left the
simplex.
"""

import argparse
import dataclasses
import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from physcore.mixture import GaussianMixture
from physcore.process import Process, Variable
from physcore.transform import AdditiveLogistic, Composition, ReverseSamples, TransformedProcess, sample_reverse

LAST_TIME = 1e-3
MARGIN = 1e-5  # smallest part that is left on the simplex
STEPS = (50, 100, 250, 500, 1000)
SIMPLEX = AdditiveLogistic()


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoisedMixture(Process):
    """A mixture of Gaussians in the plane under a variance-preserving noising from time 0 to 1."""

    means: tuple[tuple[float, float], ...] = ((2.0, 0.0), (-1.5, 1.5), (0.0, -2.0))
    width: float = 0.5
    weights: tuple[float, ...] = (0.5, 0.3, 0.2)
    slowest: float = 0.1
    fastest: float = 20.0

    variables = (Variable("x0"), Variable("x1"))

    def rate(self, time: Tensor) -> Tensor:
        return self.slowest + time * (self.fastest - self.slowest)

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        return -0.5 * self.rate(time).to(state.dtype).unsqueeze(-1) * state

    def noise(self, time: Tensor) -> Tensor:
        return torch.sqrt(self.rate(time))[..., None, None] * torch.eye(2, dtype=torch.float64)

    def law(self, time: float) -> GaussianMixture:
        shrink = math.exp(-0.5 * (self.slowest * time + 0.5 * (self.fastest - self.slowest) * time**2))
        means = tuple((shrink * x, shrink * y) for x, y in self.means)
        width = math.sqrt(1 - shrink**2 * (1 - self.width**2))
        return GaussianMixture(means=means, width=width, weights=self.weights)

    def score(self, state: Tensor, time: Tensor) -> Tensor:
        return self.law(float(time)).score(state)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        return self.law(0.0).sample(paths, generator)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ablated(TransformedProcess):
    """The lemma with its term of Ito multiplied by a factor: -1 is the wrong sign, 0 leaves it out."""

    factor: float

    def reverse_drift(self, state: Tensor, time: Tensor, score: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        origin = self.origin(state)
        term = 0.5 * self.bijection.hessian_contraction(origin, self.process.noise_for(origin, time))
        return super().reverse_drift(state, time, score) + (self.factor - 1) * term


MIXTURE = NoisedMixture()
BEFORE = TransformedProcess(process=MIXTURE, bijection=Composition())
ON_SIMPLEX = TransformedProcess(process=MIXTURE, bijection=SIMPLEX)
WAYS = {
    "lemma": ON_SIMPLEX,
    "wrong sign": Ablated(process=MIXTURE, bijection=SIMPLEX, factor=-1.0),
    "no Ito term": Ablated(process=MIXTURE, bijection=SIMPLEX, factor=0.0),
}


def times(steps: int) -> list[float]:
    return [float(time) for time in torch.linspace(1.0, LAST_TIME, steps + 1, dtype=torch.float64)]


def restored(state: Tensor) -> Tensor:
    return SIMPLEX.restore(state, MARGIN)


def starts(paths: int, generator: torch.Generator) -> Tensor:
    return torch.randn(paths, 2, generator=generator, dtype=torch.float64)


def sampled(way: str, steps: int, paths: int, seed: int) -> ReverseSamples:
    """Sample on the simplex in steps of Euler and Maruyama, in one of ``WAYS``."""
    generator = torch.Generator().manual_seed(seed)
    start = SIMPLEX.forward(starts(paths, generator))
    return sample_reverse(WAYS[way], MIXTURE.score, start, times(steps), generator, restore=restored)


def sampled_before_the_map(steps: int, paths: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    start = starts(paths, generator)
    return SIMPLEX.forward(sample_reverse(BEFORE, MIXTURE.score, start, times(steps), generator).state)


def along_the_probability_flow(steps: int, paths: int, seed: int) -> Tensor:
    """Follow the probability flow on the simplex back in time, in steps of Heun."""
    generator = torch.Generator().manual_seed(seed)
    state, moments = SIMPLEX.forward(starts(paths, generator)), times(steps)
    for time, following in itertools.pairwise(moments):
        step = following - time
        here, there = (torch.tensor(moment, dtype=torch.float64) for moment in (time, following))
        first = ON_SIMPLEX.probability_flow(state, here, MIXTURE.score)
        second = ON_SIMPLEX.probability_flow(restored(state + step * first), there, MIXTURE.score)
        state = restored(state + 0.5 * step * (first + second))
    return state


def true_samples(paths: int, seed: int) -> Tensor:
    return SIMPLEX.forward(MIXTURE.sample_initial(paths, torch.Generator().manual_seed(seed)))


def energy_distance(first: Tensor, second: Tensor) -> float:
    r"""Return 2 E|X - Y| - E|X - X'| - E|Y - Y'| of parts, without bias, so that it scatters about zero."""
    a, b = SIMPLEX.parts(first), SIMPLEX.parts(second)
    within = [torch.cdist(x, x).sum() / (len(x) * (len(x) - 1)) for x in (a, b)]
    return float(2 * torch.cdist(a, b).mean() - within[0] - within[1])


def row(steps: int, paths: int, seed: int) -> dict[str, float]:
    """Return the energy distances of all ways, and the fraction of steps that left the simplex."""
    truth = true_samples(paths, seed + 1)
    lemma = sampled("lemma", steps, paths, seed + 2)
    states = {
        "before the map": sampled_before_the_map(steps, paths, seed + 3),
        "lemma": lemma.state,
        "wrong sign": sampled("wrong sign", steps, paths, seed + 4).state,
        "no Ito term": sampled("no Ito term", steps, paths, seed + 5).state,
        "probability flow": along_the_probability_flow(steps, paths, seed + 6),
        "noise floor": true_samples(paths, seed + 7),
    }
    return {**{name: energy_distance(state, truth) for name, state in states.items()}, "left": lemma.outside}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("steps", nargs="*", type=int, default=STEPS)
    parser.add_argument("--paths", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for position, steps in enumerate(chosen.steps):
        entries = row(steps, chosen.paths, chosen.seed)
        if position == 0:
            print("  ".join(["steps", *(name.rjust(16) for name in entries)]))
        print("  ".join([f"{steps:5d}", *(f"{value:16.2e}" for value in entries.values())]), flush=True)


if __name__ == "__main__":
    main()
