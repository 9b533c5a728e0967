"""Level and power of the kernel Stein test on standard problems of goodness of fit.

Run as ``python tests/benchmarks/stein_tests.py [problem ...] [--trials 200] [--burn-in 2000] [--chains 10000]
[--kgof]``. Prints the rejection rates at level 0.05 with their binomial errors, beside those that were published where
numbers are, and writes ``stein_tests.json`` into the working directory.

The problems, their parameters and the samples of those that need no Gibbs sampler are those of the package kgof
(Jitkrittum et al., A linear-time kernel goodness-of-fit test, 2017: its experiment ``ex2_prob_params``): n = 1000, a
Gaussian kernel with the median distance, 1000 replicates of random signs. The last two are those of Schrab, Guedj and
Gretton, KSD aggregated goodness-of-fit test (2022), whose rates over 200 trials are quoted: an inverse multiquadric
kernel with the median distance, or that of most power by one half of the sample tested on the other; they take the
quantile from samples of the model itself in place of random signs. With ``--kgof``, where that package is installed,
its own test is run on the same samples. The states of a machine are drawn without replacement
from the ends of many chains of blocked Gibbs sampling. These are not in equilibrium after the 2000 steps of both
sources, and rates depend on the burn-in; trials share the chains, whose own scatter no binomial error has. They depend
on the machine more: of noise 0.01 in the large one the rates were 0.10 here and 0.22, 0.25 and 0.13 with three others.
"""

import argparse
import dataclasses
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.stein import (
    BaseKernel,
    GaussianKernel,
    InverseMultiquadricKernel,
    SteinFeatures,
    independent_signs,
    most_powerful,
    stein_test,
)
from analysis.stein.base_kernels import median_distance

LEVEL, REPLICATES = 0.05, 1000
Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Case:
    """A model to test and a law to draw from.

    Arguments:
        score: Score of the model at states of shape ``(n, component)``.
        sample: States of the law, from a number of trial.
        published: Published rates by the name of a method.
    """

    score: Callable[[Array], Array]
    sample: Callable[[int], Array]
    published: dict[str, float] = dataclasses.field(default_factory=dict)


def normal_score(states: Array) -> Array:
    return -states


def normal(mean: Sequence[float], variances: Sequence[float], n: int = 1000) -> Callable[[int], Array]:
    spread = np.sqrt(np.asarray(variances))
    return lambda seed: np.random.RandomState(seed).randn(n, len(spread)) * spread + np.asarray(mean)


def shift(mean: float) -> Case:
    return Case(normal_score, normal([mean] + [0.0] * 9, [1.0] * 10))


def wider(variance: float) -> Case:
    return Case(normal_score, normal([0.0], [variance]))


def one_wider(dimension: float) -> Case:
    d = int(dimension)
    return Case(normal_score, normal([0.0] * d, [2.0] + [1.0] * (d - 1)))


def right(dimension: float) -> Case:
    d = int(dimension)
    return Case(normal_score, normal([0.0] * d, [1.0] * d))


def laplace(dimension: float) -> Case:
    size = (1000, int(dimension))
    return Case(normal_score, lambda seed: np.random.RandomState(seed).laplace(0.0, 1 / math.sqrt(2), size))


class BoltzmannMachine:
    """A Gaussian-Bernoulli restricted Boltzmann machine, p(x, h) ~ exp(x.B h / 2 + b.x + c.h - |x|^2 / 2), h = +-1."""

    def __init__(self, weights: Array, shift: Array, bias: Array) -> None:
        self.weights, self.shift, self.bias = 0.5 * weights, shift, bias
        self.chains: Array | None = None

    def score(self, states: Array) -> Array:
        hidden = np.tanh(states @ self.weights + self.bias)
        return self.shift - states + hidden @ self.weights.T

    def sample(self, trial: int, n: int, burn_in: int, chains: int) -> Array:
        """Return the last states of n chains that are chosen for a trial."""
        if self.chains is None:
            random = np.random.RandomState(1)
            states = random.randn(chains, len(self.shift))
            for _ in range(burn_in + 1):
                chance = 0.5 * (1 + np.tanh(states @ self.weights + self.bias))
                hidden = np.where(random.rand(*chance.shape) < chance, 1.0, -1.0)
                states = random.randn(chains, len(self.shift)) + hidden @ self.weights.T + self.shift
            self.chains = states
        return self.chains[np.random.RandomState(trial).choice(len(self.chains), n, replace=False)]


def machines(seed: int, noise: float, hidden: int) -> tuple[BoltzmannMachine, BoltzmannMachine]:
    """Return a random machine and one whose weights are perturbed."""
    random = np.random.RandomState(seed)
    weights = random.randint(0, 2, (50, hidden)) * 2 - 1.0
    shift, bias = random.randn(50), random.randn(hidden)
    other = weights + random.randn(50, hidden) * noise
    return BoltzmannMachine(weights, shift, bias), BoltzmannMachine(other, shift, bias)


def machine(noise: float, burn_in: int, chains: int) -> Case:
    model, law = machines(1000 + (0.0, 0.02, 0.04, 0.06).index(noise), noise, 10)
    return Case(model.score, lambda seed: law.sample(seed, 1000, burn_in, chains))


def large_machine(noise: float, burn_in: int, chains: int) -> Case:
    place = (0.0, 0.01, 0.02, 0.03, 0.04).index(noise)
    model, law = machines(0, noise, 40)
    published = {
        "inverse multiquadric": (0.055, 0.21, 0.795, 1.0, 1.0)[place],
        "most powerful of half": (0.055, 0.175, 0.63, 0.995, 1.0)[place],
    }
    return Case(model.score, lambda seed: law.sample(seed, 1000, burn_in, chains), published)


def gamma(more: float) -> Case:
    """Return shapes of 5 and more; trials are those of one generator, as published."""
    place = (0.0, 0.1, 0.2, 0.3, 0.4).index(more)
    drawn = np.random.RandomState(place + 10).gamma(5 + more, 5, (201, 500, 1))
    published = {
        "inverse multiquadric": (0.035, 0.175, 0.455, 0.78, 0.93)[place],
        "most powerful of half": (0.04, 0.11, 0.305, 0.505, 0.745)[place],
    }
    return Case(lambda states: 4 / states - 0.2, lambda seed: drawn[seed % 201], published)


KGOF = ("Gaussian", "inverse multiquadric")
SCHRAB = ("inverse multiquadric", "most powerful of half")
PROBLEMS: dict[str, tuple[Callable[..., Case], tuple[float, ...], tuple[str, ...], range]] = {
    "right": (right, (1, 5, 10, 15), KGOF, range(0)),
    "shift": (shift, (0, 0.02, 0.04, 0.06), KGOF, range(0)),
    "wider": (wider, (1, 1.5, 2, 2.5), KGOF, range(0)),
    "one-wider": (one_wider, (1, 5, 10, 15), KGOF, range(0)),
    "laplace": (laplace, (1, 5, 10, 15), KGOF, range(0)),
    "machine": (machine, (0.0, 0.02, 0.04, 0.06), KGOF, range(0)),
    "large-machine": (large_machine, (0.0, 0.01, 0.02, 0.03, 0.04), SCHRAB, range(-20, 1)),
    "gamma": (gamma, (0.0, 0.1, 0.2, 0.3, 0.4), SCHRAB, range(11)),
}
KERNELS: dict[str, BaseKernel] = {"Gaussian": GaussianKernel(), "inverse multiquadric": InverseMultiquadricKernel()}


def rejected(method: str, states: Array, scores: Array, seed: int, octaves: range) -> bool:
    features = SteinFeatures(torch.from_numpy(states), torch.from_numpy(scores))
    if method in KERNELS:
        return stein_test(features, KERNELS[method], independent_signs(seed, REPLICATES, len(states))).p_value <= LEVEL
    half = len(states) // 2
    seen, left = features.part(slice(0, half)), features.part(slice(half, None))
    median = median_distance(features.points)
    kernels = [InverseMultiquadricKernel(bandwidth=2.0**octave * median) for octave in octaves]
    kernel = kernels[most_powerful([seen] * len(kernels), kernels)]
    return stein_test(left, kernel, independent_signs(seed, REPLICATES, len(left))).p_value <= LEVEL


def rejected_by_kgof(case: Case, states: Array, seed: int) -> bool:
    from kgof import data, goftest, kernel, util

    chosen = kernel.KGauss(util.meddistance(states, subsample=1000) ** 2)
    model: Any = SimpleNamespace(grad_log=case.score)
    test = goftest.KernelSteinTest(model, chosen, alpha=LEVEL, n_simulate=REPLICATES, seed=seed)
    return bool(test.perform_test(data.Data(states))["h0_rejected"])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problems", nargs="*", default=list(PROBLEMS), metavar="problem")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--burn-in", type=int, default=2000)
    parser.add_argument("--chains", type=int, default=10_000)
    parser.add_argument("--kgof", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in options.problems:
        make, parameters, methods, octaves = PROBLEMS[name]
        print(f"\n{name}: rejection rates at {LEVEL:g}, {options.trials} trials", flush=True)
        for parameter in parameters:
            case = make(parameter, options.burn_in, options.chains) if name.endswith("machine") else make(parameter)
            began, counts = time.process_time(), dict.fromkeys((*methods, *(["kgof"] if options.kgof else [])), 0)
            for trial in range(options.trials):
                states = case.sample(trial)
                scores = case.score(states)
                for method in methods:
                    counts[method] += rejected(method, states, scores, trial, octaves)
                if options.kgof:
                    counts["kgof"] += rejected_by_kgof(case, states, trial)
            cells = []
            for method, count in counts.items():
                rate = count / options.trials
                error = math.sqrt(max(rate * (1 - rate), 1 / options.trials) / options.trials)
                told = f" (published {case.published[method]:.3f})" if method in case.published else ""
                cells.append(f"{method} {rate:.3f} +- {error:.3f}{told}")
                published = case.published.get(method)
                rows.append(
                    {"problem": name, "parameter": parameter, "method": method, "rate": rate, "error": error,
                     "published": published, "trials": options.trials}
                )  # fmt: skip
            print(f"{parameter:>6g}  " + ";  ".join(cells) + f"  [{time.process_time() - began:.0f} s]", flush=True)
    Path("stein_tests.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
