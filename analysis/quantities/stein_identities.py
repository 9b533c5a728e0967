r"""Stein identities: what every score obeys under its own law, a check that needs no reference.

.. math:: E[s_j(X_t)] = 0, \qquad E[x_i\,s_j(X_t)] = -\delta_{ij}

Both follow by parts for a density that vanishes far away, as that of an angle that is not wrapped does. An estimate
that is many standard errors off shows a wrong score; one that is not proves nothing about errors orthogonal to 1 and x.

Source: Stein, Estimation of the mean of a multivariate normal distribution (1981).
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from analysis.quantities.blocks import Block, Sums
from analysis.quantities.path_means import PathMeans, sums_of_products
from analysis.quantities.quantity import Estimator, Quantity, Subject, inverse_units
from analysis.quantities.sampled_score import SampledScore, held_components
from analysis.references.reference import Reference
from physcore.communicator import Communicator
from physcore.process import Process
from physcore.score.score_function import ScoreFunction

__all__ = ["SteinIdentities", "stein_identities"]

MOST_MOMENTS = 6  # in a table


@dataclasses.dataclass(frozen=True, kw_only=True)
class SteinIdentities(Quantity):
    """The Stein moments of each score."""

    def unasked(self, process: Process, references: Mapping[str, Reference], components: Sequence[int]) -> bool:
        """Return that they always are estimated: they need nothing but the score."""
        return True

    def estimator(self, subject: Subject, name: str) -> Estimator:
        """Return how they are estimated; see ``Quantity.estimator``."""
        return _estimator(subject.sampled(name), subject.components, subject.times_of_matrices)

    def headline(self, dataset: xr.Dataset) -> xr.Dataset:
        """Return moments of each variable with its own component of the score, or the largest deviation of many."""
        held = dataset["component"].values
        chosen = dataset[["value", "standard_error"]]
        if len(held) > MOST_MOMENTS:
            worst = abs(dataset["deviation"]).max(("moment", "component"))
            largest = xr.Dataset({"value": worst, "standard_error": worst * np.nan})
            return largest.expand_dims(moment=["largest deviation in standard errors"])
        rows = [chosen.sel(moment=one, component=one).drop_vars(("moment", "component")) for one in held]
        return xr.concat(rows, xr.DataArray([f"E[{one} s_{one}], must be -1" for one in held], dims="moment"))


def stein_identities(
    process: Process,
    score: ScoreFunction,
    trajectories: xr.Dataset,
    *,
    times: Sequence[float] | None = None,
    communicator: Communicator | None = None,
) -> xr.Dataset:
    """Return the Stein moments of a score along simulated paths, beside what they must be.

    Arguments:
        process: The process.
        score: Anything with ``score(state, time)``: a learned score or a reference.
        trajectories: States to average over, dimensions ``path`` and ``time``.
        times: Saved times; all at which the score is known when None.
        communicator: Ranks that share the blocks of paths; serial when None. Every rank returns the same Dataset.

    Returns:
        Dataset with dimensions ``time``, ``moment`` (``one``, then a variable each) and ``component``, those that the
        score holds: the mean ``value`` of moment times score with ``standard_error``, the ``expected`` one, and
        ``deviation``, their difference in standard errors.

    Raises:
        ValueError: If a time was not saved or lies outside the trained range.
        NumericalError: If a state or a learned score is not finite.
    """
    held = held_components(process, score)
    sampled = SampledScore(process, score, held)
    moments = sampled.prepared(trajectories, times)
    return _estimator(sampled, held, moments).over(process, trajectories, communicator)


def _estimator(sampled: SampledScore, held: Sequence[int], times: NDArray[np.float64]) -> Estimator:
    process = sampled.process

    def work(block: Block) -> Sums:
        sums = np.zeros((3, len(times), process.dimension + 1, len(held)))
        for frame in block:
            scores, known = sampled.at(frame)
            functions = torch.cat([torch.ones_like(frame.states[:, :1]), frame.states], -1)
            sums[:, frame.index] = sums_of_products(functions, scores[:, list(held)], known)
        return sums

    return Estimator(times, work, lambda sums, paths: _dataset(process, held, times, PathMeans.of(sums), paths))


def _dataset(
    process: Process, held: Sequence[int], times: NDArray[np.float64], means: PathMeans, paths: int
) -> xr.Dataset:
    expected = np.concatenate([np.zeros((1, len(held))), -np.eye(process.dimension)[:, list(held)]])
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = (means.value - expected) / means.standard_error
    names = [variable.name for variable in process.variables]
    stacked, units = ("time", "moment", "component"), inverse_units(process, "[moment] [component]-1")
    return xr.Dataset(
        {
            "value": (stacked, means.value, {"long_name": "mean of moment times score", "units": units}),
            "standard_error": (stacked, means.standard_error, {"long_name": "standard error of value", "units": units}),
            "expected": (stacked[1:], expected, {"long_name": "what a score must give", "units": units}),
            "deviation": (stacked, deviation, {"long_name": "difference in standard errors", "units": "1"}),
        },
        {
            "time": ("time", times, {"long_name": "time", "units": process.time_units}),
            "moment": ["one", *names],
            "component": [names[i] for i in held],
        },
        {"paths": paths},
    )
