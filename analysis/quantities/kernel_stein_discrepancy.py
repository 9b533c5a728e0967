r"""Kernel Stein discrepancy: how far a score is from the law of simulated states, with a test of it.

.. math:: \mathrm{KSD}^2 = E\left[k\,s \cdot s' + s \cdot \nabla' k + s' \cdot \nabla k
          + \nabla \cdot \nabla' k\right], \qquad s = s(x), \; s' = s(x'), \; k = k(x, x'),

over pairs of independent states. It vanishes only if the score is that of their law, and needs neither a reference nor
a density. With so many states as a simulation gives, every learned score is wrong at some level; the value with its
standard error says how wrong, in units of the spread of the states.

Source: Liu, Lee and Jordan, A kernelized Stein discrepancy for goodness-of-fit tests (2016); Chwialkowski, Strathmann
and Gretton, A kernel test of goodness of fit (2016).
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from analysis.quantities.blocks import Block, Sums
from analysis.quantities.quantity import Estimator, Quantity, Subject
from analysis.quantities.sampled_score import held_components
from analysis.stein.base_kernels import BaseKernel, InverseMultiquadricKernel
from analysis.stein.fields import ScaledField, standard_lengths
from analysis.stein.frames import PATHS, REPLICATES, FrameTests, several
from analysis.stein.goodness_of_fit import stein_test
from analysis.stein.multipliers import independent_signs
from physcore.communicator import Communicator
from physcore.process import Process
from physcore.score.score_function import ScoreFunction
from physcore.streams import validated_seed

__all__ = ["KernelSteinDiscrepancy", "kernel_stein_discrepancy"]

FEWEST = 3  # states in a test
Scaling = Literal["standard-deviation", "none"]
SCALINGS = ("standard-deviation", "none")


def kernel_stein_discrepancy(
    process: Process,
    score: ScoreFunction,
    trajectories: xr.Dataset,
    *,
    times: Sequence[float] | None = None,
    kernel: BaseKernel | Sequence[BaseKernel] | None = None,
    scaling: Scaling = "standard-deviation",
    paths: int | None = PATHS,
    replicates: int = REPLICATES,
    seed: int = 0,
    device: str = "cpu",
    communicator: Communicator | None = None,
) -> xr.Dataset:
    """Return the squared kernel Stein discrepancy of a score at each time, and the probability of it.

    Arguments:
        process: The process.
        score: Anything with ``score(state, time)``: a learned score or a reference. Of a learned score that holds some
            components alone, these are tested.
        trajectories: Paths that were not learned from, dimensions ``path`` and ``time``.
        times: Saved times; all at which the score is known when None.
        kernel: Base kernel, the inverse multiquadric when None; its bandwidth, where it has none, is the median
            distance. Of several the one of most power is taken, on the first fifth of the paths, which the test then
            leaves out.
        scaling: ``standard-deviation`` measures every variable by its spread over the states, ``none`` in its own unit.
        paths: How many of the paths to use, the first, in a time that grows with the square; all when None.
        replicates: Replicates of the bootstrap.
        seed: Seed of their signs, which no number of ranks or times changes.
        device: Where pairs are computed: ``cpu``, ``cuda`` or ``auto``.
        communicator: Ranks that share the pairs; serial when None. Every rank returns the same Dataset.

    Returns:
        Dataset with dimension ``time``: the unbiased ``value`` with ``standard_error``, ``v_statistic``, its quantiles
        ``null`` were the score right (dimension ``quantile``), ``p_value``, ``bandwidth``, the number of ``states``,
        with several kernels the index ``choice``; and ``joint_p_value`` of the largest discrepancy of all times.

    Raises:
        ValueError: If a time was not saved or lies outside the trained range, an option is out of range, or a component
            is the same in all states.
        NumericalError: If a state or a learned score is not finite.

    Error:
        Of ``value`` its standard error; its law is normal where the score is wrong and degenerate where it is right.

    Source: see the module.
    """
    if scaling not in SCALINGS:
        raise ValueError(f"`scaling` must be one of {', '.join(SCALINGS)}; got {scaling!r}.")
    held = held_components(process, score)
    chosen = held if len(held) < process.dimension else None

    def fields(states: Tensor) -> list[ScaledField]:
        if scaling == "standard-deviation":
            return [standard_lengths(states, chosen)]
        return [ScaledField(lengths=(1.0,) * process.dimension, held=None if chosen is None else tuple(chosen))]

    return FrameTests(
        process=process,
        score=score,
        trajectories=trajectories,
        kernels=several(InverseMultiquadricKernel() if kernel is None else kernel),
        fields=fields,
        paths=paths,
        replicates=replicates,
        seed=seed,
        device=device,
        communicator=communicator,
    ).at(times)


@dataclasses.dataclass(frozen=True, kw_only=True)
class KernelSteinDiscrepancy(Quantity):
    """The squared discrepancy of each score from the law of simulated states, at the shown times, with its test.

    Every variable is measured by its spread; the kernel is the inverse multiquadric. There is no
    ``block_standard_error``, it is NaN: where the score is right the statistic is degenerate, and blocks of few states
    scatter far more than their number makes up for.

    Arguments:
        paths: Number of independent paths to use, spread over all; the time grows with the square.
        replicates: Replicates of the bootstrap that gives the probability.
        seed: Seed of its signs.

    Raises:
        ValueError: If a setting is out of range.
    """

    paths: int = 1024
    replicates: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        if self.paths < FEWEST:
            raise ValueError(f"`paths` must be at least {FEWEST}; got {self.paths}.")
        if self.replicates < 1:
            raise ValueError(f"`replicates` must be at least 1; got {self.replicates}.")
        validated_seed(self.seed)

    def estimator(self, subject: Subject, name: str) -> Estimator | None:
        """Return how it is estimated; see ``Quantity.estimator``."""
        sampled, times, dimension = subject.sampled(name), subject.shown, subject.process.dimension
        stride = -(-subject.trajectories.sizes["path"] // self.paths)
        most = -(-subject.trajectories.sizes["path"] // stride)

        def work(block: Block) -> Sums:
            # Each chosen path has a place of its own, so that the sum over blocks is their states side by side.
            sums = np.zeros((len(times), most, 2 * dimension + 1))
            first = -(-block.paths.start // stride)
            chosen = slice(first * stride - block.paths.start, None, stride)
            for frame in block:
                scores, known = sampled.at(frame)
                parts = [frame.states[chosen], torch.where(known[:, None], scores, 0.0)[chosen], known[chosen, None]]
                told = torch.cat([part.double() for part in parts], -1).cpu().numpy()
                sums[frame.index, first : first + len(told)] = told
            return sums

        return Estimator(times, work, functools.partial(self._dataset, subject), mean=False)

    def _dataset(self, subject: Subject, sums: Sums, _: int) -> xr.Dataset:
        dimension, held = subject.process.dimension, subject.components
        chosen = held if len(held) < dimension else None
        signs = independent_signs(self.seed, self.replicates, sums.shape[1])
        columns = np.full((5, len(sums)), np.nan)
        for index, told in enumerate(torch.from_numpy(sums)):
            known = told[:, -1] > 0
            columns[4, index] = int(known.sum())
            if columns[4, index] >= FEWEST:
                states, scores = told[known, :dimension], told[known, dimension:-1]
                features = standard_lengths(states, chosen).features(states, scores)
                test = stein_test(features, InverseMultiquadricKernel(), signs[:, known])
                columns[:4, index] = test.value, test.standard_error, test.v_statistic, test.p_value
        titles = {
            "value": "squared kernel Stein discrepancy, without bias",
            "standard_error": "standard error of value",
            "v_statistic": "squared kernel Stein discrepancy, never negative",
            "p_value": "probability of as large a discrepancy were the score right",
            "states": "number of states",
        }
        return xr.Dataset(
            {
                name: ("time", column, {"long_name": title, "units": "1"})
                for (name, title), column in zip(titles.items(), columns, strict=True)
            },
            {"time": ("time", subject.shown, {"long_name": "time", "units": subject.process.time_units})},
            {"paths": sums.shape[1], "replicates": self.replicates, "seed": str(self.seed)},
        )

    def headline(self, dataset: xr.Dataset) -> xr.Dataset:
        """Return the discrepancy and its probability, with the error that the number of replicates leaves."""
        p_value = dataset["p_value"]
        error = np.sqrt(p_value * (1 - p_value) / dataset.attrs["replicates"])
        told = xr.Dataset({"value": p_value, "standard_error": error})
        labels = xr.DataArray(["squared discrepancy", "probability"], dims="kind")
        return xr.concat([dataset[["value", "standard_error"]], told], labels, combine_attrs="override")
