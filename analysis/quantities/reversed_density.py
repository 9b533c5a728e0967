r"""Density of simulated states beside that of states which a score makes, run backwards, on bins.

.. math:: q_B = P(X_t \in B) / |B|

What is off at the last time is the sampling error of the states that the reversal starts from.

Source: comparison of samples as in Singhal, Goldstein and Ranganath, What's the score? Automated denoising score
matching for nonlinear diffusions (2024), figure 5.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
import xarray as xr

from analysis.quantities.bins import Bins, checked_plane
from analysis.quantities.blocks import Block, Sums
from analysis.quantities.quantity import Estimator, Quantity, Subject
from analysis.quantities.reversed_sample import ReversedSample, check_reversible
from analysis.references.reference import Reference
from physcore.process import Process

__all__ = ["ReversedDensity"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReversedDensity(Quantity):
    """The density of reversed states and of simulated ones, at the shown times.

    Arguments:
        variables: Names of one or two variables to bin; the first ones when None.
        bins: Number of bins along each.
    """

    needs_reversal: ClassVar[bool] = True

    variables: list[str] | None = None
    bins: int = 40

    def check(self, process: Process, references: Mapping[str, Reference], components: Sequence[int]) -> None:
        """Refuse unknown variables and a score that cannot be run backwards; see ``Quantity.check``."""
        checked_plane(process, self.variables, self.bins)
        check_reversible(process, components)

    def estimator(self, subject: Subject, name: str) -> Estimator | None:
        """Return how it is estimated; see ``Quantity.estimator``."""
        if name not in subject.reversed:
            return None
        sample, plane = ReversedSample(subject, name), checked_plane(subject.process, self.variables, self.bins)
        bins = Bins.around(subject.process, subject.trajectories, sample.times, plane, self.bins)

        def work(block: Block) -> Sums:
            sums = np.zeros((2, 2, len(sample.times), int(np.prod(bins.counts))))
            for frame in block:
                for i, states in enumerate((sample.beside(block, frame.index), frame.states)):
                    known = torch.ones(len(states), dtype=torch.bool)
                    sums[i, 0, frame.index] = bins.sums(states, states[:, :0], known)[0]
                    sums[i, 1, frame.index] = len(states)
            return sums

        return Estimator(sample.times, work, lambda sums, _: _dataset(bins, sample, sums))

    def headline(self, dataset: xr.Dataset) -> xr.Dataset:
        """Return by how much the two densities differ, half the integral of their absolute difference."""
        plane = dataset.attrs["variables"].split()
        difference = np.abs(dataset["value"] - dataset["simulated"])
        error = np.hypot(dataset["standard_error"], dataset["simulated_standard_error"])
        value = 0.5 * dataset.attrs["volume"] * difference.sum(plane)
        spread = 0.5 * dataset.attrs["volume"] * np.sqrt((error**2).sum(plane))
        found = xr.Dataset({"value": value, "standard_error": spread})
        return found.expand_dims(kind=["total variation, noise included"]).where(value > 0)


def _dataset(bins: Bins, sample: ReversedSample, sums: Sums) -> xr.Dataset:
    densities = [bins.density(part[0], part[1]) for part in sums]
    variables = {
        "value": (densities[0][0], "density of reversed states"),
        "standard_error": (densities[0][1], "standard error of value"),
        "simulated": (densities[1][0], "density of simulated states"),
        "simulated_standard_error": (densities[1][1], "standard error of simulated"),
    }
    attributes = {"units": bins.density_units}
    return xr.Dataset(
        {
            name: (("time", *bins.names), bins.shaped(values), {"long_name": text, **attributes})
            for name, (values, text) in variables.items()
        },
        bins.coordinates(sample.times),
        {
            "variables": " ".join(bins.names),
            "volume": float(bins.volume[0]),
            "paths": int(sums[1, 1].max()),
            "reversed_paths": int(sums[0, 1].max()),
            "held": sample.held,
        },
    )
