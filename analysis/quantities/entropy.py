r"""Entropy of the law of a process, from its log density or, where there is none, from its score.

.. math:: S(t) = -E[\log q_t(X_t)], \qquad
          \dot S = E\left[\nabla \cdot f + s^T D s\right], \quad D = \tfrac12 G G^T

It is the differential entropy, in units of Boltzmann's constant and of the variables chosen. The rate needs the score
of the driven components alone.

Source: Cover and Thomas, Elements of Information Theory (2006), chapter 8; the rate follows from the Fokker-Planck
equation by parts (Seifert, Entropy production along a stochastic trajectory and an integral fluctuation theorem, 2005).
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from analysis.quantities.blocks import Block, Frame, Sums, Work, saved_times
from analysis.quantities.path_means import PathMeans, sums_of
from analysis.quantities.quantity import LEARNED, Estimator, Quantity, Subject
from analysis.quantities.sampled_score import SampledScore
from analysis.references.reference import Reference
from physcore.communicator import Communicator
from physcore.diffusivity import Diffusivity
from physcore.process import Process
from physcore.score.score_function import LogDensity, ScoreFunction

__all__ = ["Entropy", "entropy"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entropy(Quantity):
    """The entropy by each score: from the density of a reference that has one, else from the rate.

    Arguments:
        initial: Entropy at the first compared time, from which rates are integrated; when None that of the first
            reference with a density.

    Raises:
        ValueError: If ``initial`` is not finite.
    """

    initial: float | None = None

    def __post_init__(self) -> None:
        if self.initial is not None and not math.isfinite(self.initial):
            raise ValueError(f"`initial` must be finite; got {self.initial}.")

    def check(self, process: Process, references: Mapping[str, Reference], components: Sequence[int]) -> None:
        """Refuse to integrate a rate from an unknown entropy; see ``Quantity.check``."""
        if self.initial is None and not any(reference.has_density for reference in references.values()):
            raise ValueError(
                f"a score gives its rate alone, and none of the references {list(references)} has a density; "
                "give `initial`, the entropy at the first compared time."
            )

    def estimator(self, subject: Subject, name: str) -> Estimator:
        """Return how it is estimated; see ``Quantity.estimator``."""
        times, sampled = subject.times, subject.sampled(name)
        if name != LEARNED and subject.references[name].has_density:
            return _estimator(subject.process, _averaged(subject.references[name], times), times, "mean log density")
        density = next((one for one in subject.references.values() if one.has_density), None)
        work = _integrated(sampled, times, density if self.initial is None else self.initial)
        return _estimator(subject.process, work, times, "integral of the rate")

    def headline(self, dataset: xr.Dataset) -> xr.Dataset:
        """Return the entropy alone."""
        return dataset[["value", "standard_error"]]


def entropy(
    process: Process,
    score: ScoreFunction | LogDensity,
    trajectories: xr.Dataset,
    *,
    times: Sequence[float] | None = None,
    initial: float | None = None,
    communicator: Communicator | None = None,
) -> xr.Dataset:
    """Return the entropy along simulated paths.

    Arguments:
        process: The process.
        score: Anything with ``log_density(state, time)``, which is averaged; or with ``score(state, time)`` alone,
            whose rate is integrated over the times by the trapezoidal rule.
        trajectories: States to average over, dimensions ``path`` and ``time``.
        times: Saved times; all at which the score is known when None.
        initial: Entropy at the first of the times, for a score; when None that of the process's initial law, at time 0.
        communicator: Ranks that share the blocks of paths; serial when None. Every rank returns the same Dataset.

    Returns:
        Dataset with dimension ``time``: ``value`` with ``standard_error`` and the fraction of states ``outside``, which
        are not known and left out. The attribute ``method`` says which way it went.

    Raises:
        ValueError: If a time was not saved, or ``initial`` is missing where the times do not begin at 0.
        NumericalError: If a state or a learned score is not finite.
    """
    if isinstance(score, LogDensity) and not (isinstance(score, Reference) and not score.has_density):
        moments = saved_times(process, trajectories, times)
        if isinstance(score, Reference):
            score.prepare([float(time) for time in moments])
        work, method = _averaged(score, moments), "mean log density"
    else:
        sampled = SampledScore(process, score, process.driven)
        moments = sampled.prepared(trajectories, times)
        if initial is None and moments[0] != 0:
            raise ValueError(f"`initial` must be given, for the first of the times is {moments[0]:g} and not 0.")
        work, method = _integrated(sampled, moments, initial), "integral of the rate"
    return _estimator(process, work, moments, method).over(process, trajectories, communicator)


def _estimator(process: Process, work: Work, times: NDArray[np.float64], method: str) -> Estimator:
    def dataset(sums: Sums, paths: int) -> xr.Dataset:
        means = PathMeans.of(sums)
        outside = 1 - sums[0, :, 0] / paths
        variables = {
            "value": (means.value[:, 0], "entropy"),
            "standard_error": (means.standard_error[:, 0], "standard error of value"),
            "outside": (outside, "fraction of states that are not known"),
        }
        return xr.Dataset(
            {name: ("time", values, {"long_name": text, "units": "1"}) for name, (values, text) in variables.items()},
            {"time": ("time", times, {"long_name": "time", "units": process.time_units})},
            {"method": method, "paths": paths},
        )

    return Estimator(times, work, dataset)


def _averaged(density: LogDensity, times: NDArray[np.float64]) -> Work:
    """Return what averages minus the log density over the frames of a block."""

    def work(block: Block) -> Sums:
        sums = np.zeros((3, len(times), 1))
        for frame in block:
            with torch.no_grad():
                values = -density.log_density(frame.states, frame.time).double().unsqueeze(-1).cpu()
            sums[:, frame.index] = sums_of(values, torch.isfinite(values[:, 0]))
        return sums

    return work


def _integrated(sampled: SampledScore, times: NDArray[np.float64], initial: float | LogDensity | None) -> Work:
    """Return what integrates the rate along the paths of a block, from the entropy at the first time.

    That is a number, the mean of a log density, or, when None, that of the initial law.
    """
    process = sampled.process

    def rate(frame: Frame, scores: Tensor) -> Tensor:
        divergence = process.jacobian(frame.states, frame.time).diagonal(dim1=-2, dim2=-1).sum(-1)
        return divergence + (scores * Diffusivity.of(process, frame.time).apply(scores)).sum(-1)

    def at_first(frame: Frame) -> Tensor:
        if isinstance(initial, LogDensity):
            return -initial.log_density(frame.states, frame.time).double().cpu()
        if initial is None:
            return -process.initial_log_density(frame.states)
        return torch.full_like(frame.states[:, 0], initial)

    def work(block: Block) -> Sums:
        sums = np.zeros((3, len(times), 1))
        before = total = always = torch.empty(0)
        for frame in block:
            scores, known = sampled.at(frame)
            now = rate(frame, scores)
            if frame.index == 0:
                total = at_first(frame)
                always = known & torch.isfinite(total)
            else:
                step = times[frame.index] - times[frame.index - 1]
                total, always = total + 0.5 * step * (before + now), always & known
            before = now
            sums[:, frame.index] = sums_of(total.unsqueeze(-1), always)
        return sums

    return work
