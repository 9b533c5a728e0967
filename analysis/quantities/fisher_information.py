r"""Fisher information of the law of a process under shifts of the state.

.. math:: I_{ij}(t) = E\left[s_i(X_t, t)\,s_j(X_t, t)\right]

For a Gaussian law it is the inverse covariance. A learned score adds to it the matrix of its own error and what that
error has in common with the score.

Source: Cover and Thomas, Elements of Information Theory (2006), section 17.7.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from analysis.quantities.blocks import Block, Sums
from analysis.quantities.path_means import PathMeans, sums_of, sums_of_products
from analysis.quantities.quantity import Estimator, Quantity, Subject, inverse_units
from analysis.quantities.sampled_score import SampledScore, held_components
from analysis.references.reference import Reference
from physcore.communicator import Communicator
from physcore.process import Process
from physcore.score.score_function import ScoreFunction

__all__ = ["FisherInformation", "fisher_information"]

MOST_COMPONENTS = 4  # in a table


@dataclasses.dataclass(frozen=True, kw_only=True)
class FisherInformation(Quantity):
    """The Fisher information matrix by each score."""

    def unasked(self, process: Process, references: Mapping[str, Reference], components: Sequence[int]) -> bool:
        """Return that it always is estimated: it needs nothing but the score."""
        return True

    def estimator(self, subject: Subject, name: str) -> Estimator:
        """Return how it is estimated; see ``Quantity.estimator``."""
        return _estimator(subject.sampled(name), subject.components, subject.times_of_matrices)

    def headline(self, dataset: xr.Dataset) -> xr.Dataset:
        """Return the trace, and the diagonal of few components."""
        trace = dataset[["trace", "trace_standard_error"]]
        rows, names = [trace.rename(trace="value", trace_standard_error="standard_error")], ["trace"]
        held = dataset["component"].values
        for one in held if 1 < len(held) <= MOST_COMPONENTS else []:
            chosen = dataset[["value", "standard_error"]].sel(component=one, other=one)
            rows.append(chosen.drop_vars(("component", "other")))
            names.append(f"E[s_{one}^2]")
        return xr.concat(rows, xr.DataArray(names, dims="component"))


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
    moments = sampled.prepared(trajectories, times)
    return _estimator(sampled, held, moments).over(process, trajectories, communicator)


def _estimator(sampled: SampledScore, held: Sequence[int], times: NDArray[np.float64]) -> Estimator:
    d = len(held)

    def work(block: Block) -> Sums:
        sums = np.zeros((3, len(times), d * d + 1))
        for frame in block:
            scores, known = sampled.at(frame)
            chosen = scores[:, list(held)]
            sums[:, frame.index, :-1] = sums_of_products(chosen, chosen, known).reshape(3, -1)
            sums[:, frame.index, -1:] = sums_of(torch.sum(chosen.square(), -1, keepdim=True), known)
        return sums

    return Estimator(times, work, lambda sums, paths: _dataset(sampled.process, held, times, PathMeans.of(sums), paths))


def _dataset(
    process: Process, held: Sequence[int], times: NDArray[np.float64], means: PathMeans, paths: int
) -> xr.Dataset:
    d = len(held)
    names = [process.variables[i].name for i in held]
    matrix, matrix_error = (values[:, :-1].reshape(-1, d, d) for values in (means.value, means.standard_error))
    stacked, units = ("time", "component", "other"), inverse_units(process, "[component]-1 [other]-1")
    return xr.Dataset(
        {
            name: (dims, values, {"long_name": text, "units": units})
            for name, dims, values, text in (
                ("value", stacked, matrix, "Fisher information"),
                ("standard_error", stacked, matrix_error, "standard error of value"),
                ("trace", "time", means.value[:, -1], "trace of the Fisher information"),
                ("trace_standard_error", "time", means.standard_error[:, -1], "standard error of trace"),
            )
        },
        {
            "time": ("time", times, {"long_name": "time", "units": process.time_units}),
            "component": names,
            "other": names,
        },
        {"paths": paths},
    )
