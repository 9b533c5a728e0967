"""Stein discrepancies of a score at the saved times of simulated paths, and their tests together.

At each time the paths are an independent sample. A path has the same multipliers at all times, so that the replicates
of different times depend on each other as the discrepancies do, and one probability can be given for the largest.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from analysis.quantities.blocks import Frame
from analysis.quantities.sampled_score import SampledScore, held_components
from analysis.stein.base_kernels import BaseKernel
from analysis.stein.fields import DiffusionField
from analysis.stein.goodness_of_fit import TITLES, SteinTest, most_powerful, stein_test
from analysis.stein.multipliers import independent_signs
from physcore.communicator import Communicator
from physcore.device import resolve_device
from physcore.process import Process
from physcore.score.score_function import ScoreFunction
from physcore.streams import validated_seed
from physcore.trajectory import frames, validated_trajectories

__all__ = ["PATHS", "REPLICATES", "FrameTests", "several"]

PATHS = 4096  # used unless more are asked for; the time grows with their square
REPLICATES = 1000
SELECTION = 0.2  # of the paths, on which one of several discrepancies is chosen
FEWEST = 3  # states in a test
QUANTILES = (0.05, 0.5, 0.95)

T = TypeVar("T")
Fields = Callable[[Tensor], Sequence[DiffusionField]]


def several(one: T | Sequence[T]) -> tuple[T, ...]:
    """Return one thing or several as a tuple.

    Arguments:
        one: A thing, or a sequence of them that is not empty.

    Raises:
        ValueError: If the sequence is empty.
    """
    found: tuple[T, ...] = tuple(one) if isinstance(one, Sequence) else (one,)
    if not found:
        raise ValueError("a choice needs one candidate at least; got none.")
    return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrameTests:
    """Tests of a score at saved times.

    Arguments:
        process: The process.
        score: The score.
        trajectories: Paths, dimensions ``path`` and ``time``.
        kernels: Base kernels to choose from.
        fields: From the states at a time to the fields to choose from there; of kernels and fields one has several, or
            both have one.
        paths: How many paths to use, the first; all when None.
        replicates: Replicates of the bootstrap.
        seed: Their seed.
        device: Where the pairs are computed.
        communicator: Ranks that share the pairs; serial when None.

    Raises:
        ValueError: If there are too few paths or replicates, or the seed is out of range.
    """

    process: Process
    score: ScoreFunction
    trajectories: xr.Dataset
    kernels: tuple[BaseKernel, ...]
    fields: Fields
    paths: int | None
    replicates: int
    seed: int
    device: str
    communicator: Communicator | None

    def __post_init__(self) -> None:
        if self.replicates < 1:
            raise ValueError(f"`replicates` must be at least 1; got {self.replicates}.")
        if self.paths is not None and self.paths < FEWEST:
            raise ValueError(f"`paths` must be at least {FEWEST}, or None for all; got {self.paths}.")
        validated_seed(self.seed)

    def at(self, times: Sequence[float] | None) -> xr.Dataset:
        """Return the tests as a Dataset.

        Arguments:
            times: Saved times; all at which the score is known when None.
        """
        sampled = SampledScore(self.process, self.score, held_components(self.process, self.score))
        device = resolve_device(self.device, 0 if self.communicator is None else self.communicator.rank_on_host())
        moments = sampled.prepared(self.trajectories, times)
        chosen = validated_trajectories(self.process, self.trajectories).isel(path=slice(0, self.paths))
        signs = independent_signs(self.seed, self.replicates, chosen.sizes["path"])
        tests, choices = [], []
        for index, time in enumerate(moments):
            states = frames(self.process, chosen.sel(time=[time], method="nearest"), torch.float64)[0]
            frame = Frame(index, torch.tensor(time, dtype=torch.float64), states)
            scores, known = sampled.at(frame)
            test, choice = self._test(states[known], scores[known], signs[:, known], device)
            tests.append(test)
            choices.append(choice)
        return self._dataset(moments, tests, choices, chosen.sizes["path"])

    def _test(
        self, states: Tensor, scores: Tensor, signs: Tensor, device: torch.device
    ) -> tuple[SteinTest, int | None]:
        """Return the test at one time and, of several candidates, which it was made with."""
        if len(states) < FEWEST:
            raise ValueError(f"the score is known at {len(states)} states of a time; {FEWEST} at least are needed.")
        features = [field.features(states, scores).to(device) for field in self.fields(states)]
        kernels = list(self.kernels)
        if len(features) == len(kernels) == 1:
            return stein_test(features[0], kernels[0], signs, communicator=self.communicator), None
        split = max(FEWEST, round(SELECTION * len(states)))
        features, kernels = features * len(kernels), kernels * len(features)  # one of the two is 1
        seen = [one.part(slice(0, split)) for one in features]
        choice = most_powerful(seen, kernels, self.communicator)
        left = features[choice].part(slice(split, None))
        # A bandwidth is taken from the states that chose, as the choice is.
        kernel = kernels[choice].fitted(seen[choice].points)
        return stein_test(left, kernel, signs[:, split:], communicator=self.communicator), choice

    def _dataset(
        self, times: NDArray[np.float64], tests: Sequence[SteinTest], choices: Sequence[int | None], paths: int
    ) -> xr.Dataset:
        replicates = torch.stack([test.bootstrap for test in tests]).numpy()
        columns: dict[str, tuple[Sequence[Any], str]] = {
            name: ([getattr(test, name) for test in tests], title) for name, title in TITLES.items()
        }
        if choices[0] is not None:
            columns["choice"] = (choices, "index of the candidate of most power")
        null = np.quantile(replicates, QUANTILES, axis=1)
        return xr.Dataset(
            {
                **{
                    name: ("time", np.asarray(values), {"long_name": title})
                    for name, (values, title) in columns.items()
                },
                "null": (("quantile", "time"), null, {"long_name": "v_statistic were the score right"}),
                "joint_p_value": (
                    (),
                    joint_probability(np.array([t.v_statistic for t in tests]), replicates),
                    {"long_name": "probability of as large a discrepancy at any time"},
                ),
            },
            {
                "time": ("time", times, {"long_name": "time", "units": self.process.time_units}),
                "quantile": list(QUANTILES),
            },
            {"paths": paths, "replicates": self.replicates, "seed": str(self.seed)},
        )


def joint_probability(values: NDArray[np.float64], replicates: NDArray[np.float64]) -> float:
    """Return the probability that the largest of some statistics is as large, each in units of its own law.

    Arguments:
        values: Statistics, shape ``(time,)``.
        replicates: What they would be, shape ``(time, replicate)``.

    Source:
        Westfall and Young, Resampling-based multiple testing (1993), section 2.3, the single step.
    """
    mean, spread = replicates.mean(1, keepdims=True), replicates.std(1, keepdims=True)
    largest = ((replicates - mean) / spread).max(0)
    seen = ((values[:, None] - mean) / spread).max()
    return float((1 + (largest >= seen).sum()) / (1 + len(largest)))
