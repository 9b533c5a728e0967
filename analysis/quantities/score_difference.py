r"""Where a learned score is wrong: its difference from a reference on bins of one or two variables.

.. math:: \Delta_B = E\left[s_\theta(X_t, t) - s_{\rm ref}(X_t, t) \,\middle|\, X_t \in B\right]

In a plane of two of many variables it is the mean over the others.

Source: derived.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from analysis.quantities.bins import Bins, checked_plane
from analysis.quantities.blocks import Block, Sums
from analysis.quantities.quantity import LEARNED, Estimator, Quantity, Subject, inverse_units
from analysis.quantities.sampled_score import SampledScore
from analysis.references.reference import Reference
from physcore.process import Process

__all__ = ["ScoreDifference"]

MOST_COMPONENTS = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreDifference(Quantity):
    """The difference of the learned score from each reference, at the shown times.

    Arguments:
        variables: Names of one or two variables to bin; the first ones when None.
        bins: Number of bins along each.
    """

    variables: list[str] | None = None
    bins: int = 40

    def check(self, process: Process, references: Mapping[str, Reference], components: Sequence[int]) -> None:
        """Refuse unknown variables; see ``Quantity.check``."""
        checked_plane(process, self.variables, self.bins)

    def unasked(self, process: Process, references: Mapping[str, Reference], components: Sequence[int]) -> bool:
        """Return whether the first variables are all there are."""
        return process.dimension <= 2

    def estimator(self, subject: Subject, name: str) -> Estimator | None:
        """Return how it is estimated, for a reference; see ``Quantity.estimator``."""
        if name == LEARNED:
            return None
        plane = checked_plane(subject.process, self.variables, self.bins)
        bins = Bins.around(subject.process, subject.trajectories, subject.shown, plane, self.bins)
        held = subject.components[:MOST_COMPONENTS]
        return _estimator(subject.sampled(LEARNED), subject.sampled(name), held, bins, subject.shown)

    def headline(self, dataset: xr.Dataset) -> xr.Dataset:
        """Return the root mean square over the bins, weighted with their states."""
        plane = dataset.attrs["variables"].split()
        share = dataset["density"] / dataset["density"].sum(plane)
        value, error = (dataset[name].fillna(0.0) for name in ("value", "standard_error"))
        size = np.sqrt((share * value**2).sum(plane))
        labels = [f"rms difference of s_{name}" for name in dataset["component"].values]
        found = xr.Dataset(
            {"value": size, "standard_error": np.sqrt((share**2 * value**2 * error**2).sum(plane)) / size}
        )
        return found.assign_coords(component=labels)


def _estimator(
    learned: SampledScore, reference: SampledScore, held: Sequence[int], bins: Bins, times: NDArray[np.float64]
) -> Estimator:
    def work(block: Block) -> Sums:
        sums = np.zeros((1 + 4 * len(held), len(times), int(np.prod(bins.counts))))
        for frame in block:
            (guess, known), (true, there) = learned.at(frame), reference.at(frame)
            values = torch.cat([(guess - true)[:, list(held)], true[:, list(held)]], -1)
            sums[:, frame.index] = bins.sums(frame.states, values, known & there)
        return sums

    return Estimator(times, work, lambda sums, paths: _dataset(bins, held, times, sums, paths))


def _dataset(bins: Bins, held: Sequence[int], times: NDArray[np.float64], sums: Sums, paths: int) -> xr.Dataset:
    process, units = bins.process, inverse_units(bins.process, "[component]-1")
    means, errors = bins.means(sums)
    density, density_error = bins.density(sums[0], paths)
    field, scalar, k = ("component", "time", *bins.names), ("time", *bins.names), len(held)
    fields = {
        "value": (field, means[:k], "mean difference of the score from the reference", units),
        "standard_error": (field, errors[:k], "standard error of value", units),
        "reference_score": (field, means[k:], "mean score of the reference", units),
        "density": (scalar, density, "probability density", bins.density_units),
        "density_standard_error": (scalar, density_error, "standard error of density", bins.density_units),
    }
    return xr.Dataset(
        {
            name: (dims, bins.shaped(values), {"long_name": text, "units": unit})
            for name, (dims, values, text, unit) in fields.items()
        },
        {"component": [process.variables[i].name for i in held], **bins.coordinates(times)},
        {"paths": paths, "variables": " ".join(bins.names)},
    ).transpose("time", "component", ...)
