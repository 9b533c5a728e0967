r"""Energy distance between two samples.

.. math:: \mathcal E = 2 E|X - Y| - E|X - X'| - E|Y - Y'|

It vanishes only between equal laws. The estimate leaves out pairs of a state with itself and so has no bias; between
samples of one law it is negative as often as positive.

Source: Szekely and Rizzo, Energy statistics: a class of statistics based on distances (2013).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
import xarray as xr
from torch import Tensor

from analysis.quantities.quantity import Estimator, Quantity, Subject
from analysis.quantities.reversed_sample import beside_floor, beside_reversed, check_reversible
from analysis.quantities.two_samples import block_distances, checked_scales, distance_dataset
from analysis.references.reference import Reference
from physcore.communicator import Communicator
from physcore.process import Process

__all__ = ["EnergyDistance", "energy_distance"]

BLOCKS = 16
ROWS = 1024  # of a matrix of distances held at once


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnergyDistance(Quantity):
    """The energy distance between simulated states and those that a score makes, run backwards.

    Arguments:
        scales: Lengths to measure variables in, by name; the standard deviation of a variable where not given.
    """

    needs_reversal: ClassVar[bool] = True

    scales: dict[str, float] | None = None

    def check(self, process: Process, references: Mapping[str, Reference], components: Sequence[int]) -> None:
        """Refuse a score that cannot be run backwards; see ``Quantity.check``."""
        check_reversible(process, components)
        checked_scales(process, self.scales)

    def estimator(self, subject: Subject, name: str) -> Estimator | None:
        """Return how it is estimated, block by block, at the shown times; see ``Quantity.estimator``."""
        return beside_reversed(subject, name, self.scales, _distance, "energy distance")

    def headline(self, dataset: xr.Dataset) -> xr.Dataset:
        """Return the distance and its floor."""
        return beside_floor(dataset)


def energy_distance(
    process: Process,
    first: xr.Dataset,
    second: xr.Dataset,
    *,
    times: Sequence[float] | None = None,
    scales: Mapping[str, float] | None = None,
    blocks: int = BLOCKS,
    communicator: Communicator | None = None,
) -> xr.Dataset:
    """Return the energy distance between two samples of states at each time.

    Arguments:
        process: The process whose states both hold.
        first: Trajectories with dimensions ``path`` and ``time``.
        second: Trajectories independent of them.
        times: Times saved in both; all of these when None.
        scales: Lengths to measure variables in, by name; 1 where not given.
        blocks: Independent blocks of paths; the distance is taken in each, in a time that grows with the square of its
            size.
        communicator: Ranks that share the blocks; serial when None. Every rank returns the same Dataset.

    Returns:
        Dataset with dimension ``time``: ``value``, the mean over blocks, with ``standard_error``.

    Raises:
        ValueError: If a time is not saved in both, a scale does not fit, or there are too few paths for the blocks.
        NumericalError: If a state is not finite.
    """
    moments, distances = block_distances(
        process, first, second, _distance, times=times, blocks=blocks, scales=scales, communicator=communicator
    )
    return distance_dataset(process, moments, {"value": distances}, "energy distance")


def _distance(first: Tensor, second: Tensor) -> Tensor:
    n = len(first)
    between = 2 * _total(first, second) / n**2
    return between - (_total(first, first) + _total(second, second)) / (n * (n - 1))


def _total(left: Tensor, right: Tensor) -> Tensor:
    """Return the sum of the distances of all pairs."""
    # Differences are taken one by one: the matrix product of the expanded square loses the digits of near pairs.
    exact = "donot_use_mm_for_euclid_dist"
    return torch.stack([torch.cdist(rows, right, compute_mode=exact).sum() for rows in torch.split(left, ROWS)]).sum()
