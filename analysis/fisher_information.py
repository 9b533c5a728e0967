r"""Fisher information of the law of a process under shifts of the state.

.. math:: I_{ij}(t) = E\left[s_i(X_t, t)\,s_j(X_t, t)\right]

For a Gaussian law it is the inverse covariance. A learned score adds to it the matrix of its own error and what that
error has in common with the score.

Source: Cover and Thomas, Elements of Information Theory (2006), section 17.7.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import xarray as xr

from analysis.path_means import Frame, PathMeans, Sums, reduced, saved_times, sums_of, sums_of_products
from analysis.sampled_score import SampledScore, held_components
from physcore.communicator import Communicator
from physcore.process import Process
from physcore.score.score_function import ScoreFunction

__all__ = ["fisher_information"]


def fisher_information(
    process: Process,
    score: ScoreFunction,
    trajectories: xr.Dataset,
    *,
    times: Sequence[float] | None = None,
    communicator: Communicator | None = None,
) -> xr.Dataset:
    """Return the Fisher information matrix along simulated paths.

    Arguments:
        process: The process.
        score: Anything with ``score(state, time)``: a learned score or a reference.
        trajectories: States to average over, dimensions ``path`` and ``time``.
        times: Saved times; all at which the score is known when None.
        communicator: Ranks that share the blocks of paths; serial when None. Every rank returns the same Dataset.

    Returns:
        Dataset with dimensions ``time``, ``component`` and ``other``, which hold the components that the score does:
        ``value`` with ``standard_error`` in 1 / [state]^2, and its ``trace`` with ``trace_standard_error``.

    Raises:
        ValueError: If a time was not saved or lies outside the trained range.
        NumericalError: If a state or a learned score is not finite.
    """
    held = held_components(process, score)
    sampled = SampledScore(process, score, held)
    moments = saved_times(process, trajectories, times, sampled.known_at)
    sampled.prepare(moments)
    d = len(held)

    def work(block: Iterator[Frame]) -> Sums:
        sums = np.zeros((3, len(moments), d * d + 1))
        for frame in block:
            scores, known = sampled.at(frame)
            chosen = scores[:, held]
            sums[:, frame.index, :-1] = sums_of_products(chosen, chosen, known).reshape(3, -1)
            sums[:, frame.index, -1:] = sums_of(torch.sum(chosen.square(), -1, keepdim=True), known)
        return sums

    means = PathMeans.of(reduced(process, trajectories, moments, work, communicator))
    names = [process.variables[i].name for i in held]
    matrix, matrix_error = (values[:, :-1].reshape(-1, d, d) for values in (means.value, means.standard_error))
    stacked = ("time", "component", "other")
    return xr.Dataset(
        {
            "value": (stacked, matrix, {"long_name": "Fisher information"}),
            "standard_error": (stacked, matrix_error, {"long_name": "standard error of value"}),
            "trace": ("time", means.value[:, -1], {"long_name": "trace of the Fisher information"}),
            "trace_standard_error": ("time", means.standard_error[:, -1], {"long_name": "standard error of trace"}),
        },
        {
            "time": ("time", moments, {"long_name": "time", "units": process.time_units}),
            "component": names,
            "other": names,
        },
        {"paths": trajectories.sizes["path"]},
    )
