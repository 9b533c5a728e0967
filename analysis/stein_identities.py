r"""Stein identities: what every score obeys under its own law, a check that needs no reference.

.. math:: E[s_j(X_t)] = 0, \qquad E[x_i\,s_j(X_t)] = -\delta_{ij}

Both follow by parts for a density that vanishes far away, as that of an angle that is not wrapped does. An estimate
that is many standard errors off shows a wrong score; one that is not proves nothing about errors orthogonal to 1 and x.

Source: Stein, Estimation of the mean of a multivariate normal distribution (1981).
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import xarray as xr

from analysis.path_means import Frame, PathMeans, Sums, reduced, saved_times, sums_of_products
from analysis.sampled_score import SampledScore, held_components
from physcore.communicator import Communicator
from physcore.process import Process
from physcore.score.score_function import ScoreFunction

__all__ = ["stein_identities"]


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
    moments = saved_times(process, trajectories, times, sampled.known_at)
    sampled.prepare(moments)

    def work(block: Iterator[Frame]) -> Sums:
        sums = np.zeros((3, len(moments), process.dimension + 1, len(held)))
        for frame in block:
            scores, known = sampled.at(frame)
            functions = torch.cat([torch.ones_like(frame.states[:, :1]), frame.states], -1)
            sums[:, frame.index] = sums_of_products(functions, scores[:, held], known)
        return sums

    means = PathMeans.of(reduced(process, trajectories, moments, work, communicator))
    expected = np.concatenate([np.zeros((1, len(held))), -np.eye(process.dimension)[:, held]])
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = (means.value - expected) / means.standard_error
    names = [variable.name for variable in process.variables]
    stacked = ("time", "moment", "component")
    return xr.Dataset(
        {
            "value": (stacked, means.value, {"long_name": "mean of moment times score"}),
            "standard_error": (stacked, means.standard_error, {"long_name": "standard error of value"}),
            "expected": (stacked[1:], expected, {"long_name": "what a score must give"}),
            "deviation": (stacked, deviation, {"long_name": "difference in standard errors", "units": "1"}),
        },
        {
            "time": ("time", moments, {"long_name": "time", "units": process.time_units}),
            "moment": ["one", *names],
            "component": [names[i] for i in held],
        },
        {"paths": trajectories.sizes["path"]},
    )
