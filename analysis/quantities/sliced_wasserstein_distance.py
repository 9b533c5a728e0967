r"""Sliced Wasserstein distance between two samples.

.. math:: SW_p = \left(E_\omega\,W_p^p(\omega \cdot X, \omega \cdot Y)\right)^{1/p}

The mean is over directions :math:`\omega`, uniform on the sphere; on a line :math:`W_p^p` of two samples of one size is
the mean of :math:`|x_{(i)} - y_{(i)}|^p` over sorted values. Finite samples of one law lie apart: the ``floor`` beside
the value is the distance between two halves of the first sample and of the second, which falls as their size grows, and
a value near it says that no difference is seen.

Source: Bonneel, Rabin, Peyre and Pfister, Sliced and Radon Wasserstein barycenters of measures (2015).
"""

import dataclasses
import math
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
from physcore.streams import Streams, validated_seed

__all__ = ["SlicedWassersteinDistance", "sliced_wasserstein_distance"]

BLOCKS = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class SlicedWassersteinDistance(Quantity):
    """The sliced Wasserstein distance between simulated states and those that a score makes, run backwards.

    Arguments:
        order: Exponent, at least 1.
        directions: Number of directions.
        scales: Lengths to measure variables in, by name; the standard deviation of a variable where not given.

    Raises:
        ValueError: If a setting is out of range.
    """

    needs_reversal: ClassVar[bool] = True

    order: float = 2.0
    directions: int = 128
    scales: dict[str, float] | None = None

    def __post_init__(self) -> None:
        _check(self.order, self.directions)

    def check(self, process: Process, references: Mapping[str, Reference], components: Sequence[int]) -> None:
        """Refuse a score that cannot be run backwards; see ``Quantity.check``."""
        check_reversible(process, components)
        checked_scales(process, self.scales)

    def estimator(self, subject: Subject, name: str) -> Estimator | None:
        """Return how it is estimated, block by block, at the shown times; see ``Quantity.estimator``."""
        axes = _axes(subject.process, self.directions, 0)
        title = f"sliced Wasserstein distance of order {self.order:g}"

        def distance(left: Tensor, right: Tensor) -> Tensor:
            return _distance(left @ axes, right @ axes, self.order)

        return beside_reversed(subject, name, self.scales, distance, title)

    def headline(self, dataset: xr.Dataset) -> xr.Dataset:
        """Return the distance and its floor."""
        return beside_floor(dataset)


def sliced_wasserstein_distance(
    process: Process,
    first: xr.Dataset,
    second: xr.Dataset,
    *,
    order: float = 2.0,
    directions: int = 128,
    times: Sequence[float] | None = None,
    scales: Mapping[str, float] | None = None,
    blocks: int = BLOCKS,
    seed: int = 0,
    communicator: Communicator | None = None,
) -> xr.Dataset:
    """Return the sliced Wasserstein distance between two samples of states at each time.

    Arguments:
        process: The process whose states both hold.
        first: Trajectories with dimensions ``path`` and ``time``.
        second: Trajectories independent of them.
        order: Exponent :math:`p`, at least 1.
        directions: Number of directions; in one dimension there is one alone.
        times: Times saved in both; all of these when None.
        scales: Lengths to measure variables in, by name; 1 where not given.
        blocks: Independent blocks of paths, of four paths at least; the distance is taken between halves of each, so
            that it stands beside its floor.
        seed: Seed of the directions, which are the same for all blocks and times.
        communicator: Ranks that share the blocks; serial when None. Every rank returns the same Dataset.

    Returns:
        Dataset with dimension ``time``: ``value``, the mean over blocks, with ``standard_error``, and the ``floor``
        with ``floor_standard_error``.

    Raises:
        ValueError: If a setting is out of range, a time is not saved in both, or the paths are too few for the blocks.
        NumericalError: If a state is not finite.
    """
    _check(order, directions)
    if 4 * blocks > min(first.sizes.get("path", 0), second.sizes.get("path", 0)):
        raise ValueError(f"`blocks` must leave four paths to each; got {blocks}.")
    axes = _axes(process, directions, seed)

    def distances(left: Tensor, right: Tensor) -> Tensor:
        lefts, rights = (torch.tensor_split(states[: len(states) // 2 * 2] @ axes, 2) for states in (left, right))
        across = _distance(lefts[0], rights[0], order) + _distance(lefts[1], rights[1], order)
        within = _distance(lefts[0], lefts[1], order) + _distance(rights[0], rights[1], order)
        return 0.5 * torch.stack([across, within])

    moments, both = block_distances(
        process, first, second, distances, times=times, blocks=blocks, scales=scales, communicator=communicator
    )
    named = {"value": both[..., 0], "floor": both[..., 1]}
    return distance_dataset(process, moments, named, f"sliced Wasserstein distance of order {order:g}")


def _check(order: float, directions: int) -> None:
    if not (order >= 1 and math.isfinite(order)):
        raise ValueError(f"`order` must be at least 1 and finite; got {order}.")
    if directions < 1:
        raise ValueError(f"`directions` must be at least 1; got {directions}.")


def _axes(process: Process, directions: int, seed: int) -> Tensor:
    """Return directions uniform on the sphere, shape ``(component, direction)``."""
    generator = Streams(validated_seed(seed), "directions").generator()
    count = directions if process.dimension > 1 else 1
    axes = torch.randn(process.dimension, count, generator=generator, dtype=torch.float64)
    axes /= axes.norm(dim=0)
    return axes


def _distance(left: Tensor, right: Tensor, order: float) -> Tensor:
    apart = (left.sort(0).values - right.sort(0).values).abs()
    return apart.pow(order).mean() ** (1 / order)
