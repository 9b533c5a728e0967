"""The contract of a quantity: what a score says about a process, estimated over blocks of simulated paths.

A quantity makes an estimator for a score: from a block of paths to float64 sums, and from sums to a Dataset with
``value`` and ``standard_error``. All quantities of a comparison are estimated in one pass over the paths, and a score
is evaluated once for all of them.
"""

import abc
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.quantities.blocks import Sums, Work, block_edges, block_sums
from analysis.quantities.sampled_score import SampledScore
from analysis.references.reference import Reference
from physcore.communicator import Communicator
from physcore.process import Process
from physcore.score.model import ScoreModel
from physcore.score.score_function import ScoreFunction

__all__ = ["LEARNED", "Estimator", "Quantity", "Subject", "inverse_units", "with_scatter"]

LEARNED = "learned"
FEW_COMPONENTS = 6


@dataclasses.dataclass(frozen=True)
class Estimator:
    """How a quantity is estimated for one score.

    Arguments:
        times: Saved times of the frames that it takes, increasing.
        work: From the frames of a block to sums of one shape.
        dataset: From sums over blocks and the number of their paths to ``value`` and ``standard_error``.
        mean: Whether ``value`` is a mean over paths or a smooth function of means, whose error the scatter of blocks
            shows. It does not of a statistic of pairs: where that is degenerate, its error falls as one over the number
            of paths and not as one over its root.
    """

    times: NDArray[np.float64]
    work: Work
    dataset: Callable[[Sums, int], xr.Dataset]
    mean: bool = True

    def over(self, process: Process, trajectories: xr.Dataset, communicator: Communicator | None) -> xr.Dataset:
        """Return the estimate from all paths of some trajectories.

        Arguments:
            process: The process.
            trajectories: Dataset with dimensions ``path`` and ``time``.
            communicator: Ranks that share the blocks; serial when None. Every rank returns the same Dataset.
        """
        (sums,) = block_sums(process, trajectories, [(self.times, self.work)], communicator=communicator)
        return self.dataset(sums.sum(0), trajectories.sizes["path"])


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """What quantities are of: a learned score, references beside it, and simulated states.

    Arguments:
        score: The learned score.
        references: References by name, their work done.
        trajectories: States to average over, dimensions ``path`` and ``time``.
        times: Saved times at which the score is trained, increasing.
        shown: A few of them, for what is costly or large.
        blocks: Number of blocks that the paths are divided into.
        reversed: States run backwards by the scores of some names, in forward time, at the shown times; none where no
            quantity asks for them.
    """

    score: ScoreModel
    references: Mapping[str, Reference]
    trajectories: xr.Dataset
    times: NDArray[np.float64]
    shown: NDArray[np.float64]
    blocks: int
    reversed: Mapping[str, xr.Dataset] = dataclasses.field(default_factory=dict)

    @property
    def process(self) -> Process:
        """The process."""
        return self.score.process

    @property
    def components(self) -> list[int]:
        """The components that the learned score holds, which all scores are asked for."""
        return list(self.score.components)

    @property
    def times_of_matrices(self) -> NDArray[np.float64]:
        """The times of what has an entry for each pair of components: all of few, else the shown ones."""
        return self.times if self.process.dimension <= FEW_COMPONENTS else self.shown

    @functools.cached_property
    def scores(self) -> dict[str, ScoreFunction]:
        """The learned score and the references by name."""
        return {LEARNED: self.score, **self.references}

    def sampled(self, name: str) -> SampledScore:
        """Return a score by name, evaluated at frames for the components that are held."""
        return SampledScore(self.process, self.scores[name], self.components)


class Quantity(abc.ABC):
    """A quantity to estimate in a comparison.

    Subclasses are frozen dataclasses of their options that write ``estimator``.

    Attributes:
        group: Entry point group of quantities.
        needs_reversal: Whether it asks for states run backwards.
    """

    group: ClassVar[str] = "physcore.quantities"
    needs_reversal: ClassVar[bool] = False

    def check(self, process: Process, references: Mapping[str, Reference], components: Sequence[int]) -> None:
        """Refuse what the process or the scores cannot give, before anything is computed.

        Arguments:
            process: The process.
            references: References by name, before their work.
            components: Components that the learned score holds.

        Raises:
            ValueError: If the quantity cannot be had; the reason is given.
        """

    def unasked(self, process: Process, references: Mapping[str, Reference], components: Sequence[int]) -> bool:
        """Return whether it is estimated where no quantities are named: it is cheap, telling, and can be had.

        Arguments:
            process: The process.
            references: References by name, before their work.
            components: Components that the learned score holds.
        """
        return False

    @abc.abstractmethod
    def estimator(self, subject: Subject, name: str) -> Estimator | None:
        """Return how it is estimated for a score.

        Arguments:
            subject: What it is of.
            name: Name of the score, ``learned`` or that of a reference.

        Returns:
            The estimator; None where the quantity is not of such a score.
        """

    def headline(self, dataset: xr.Dataset) -> xr.Dataset:
        """Return the few numbers to print, dimension ``time`` and some others, of which none is long.

        Arguments:
            dataset: The estimates, dimension ``score`` first.
        """
        return dataset[["value", "standard_error"]]


def with_scatter(
    estimators: Sequence[Estimator], sums: Sequence[Sums], paths: int, communicator: Communicator
) -> list[xr.Dataset]:
    """Return estimates with ``block_standard_error``: what the scatter of independent blocks says of their errors.

    It is NaN where ``value`` is no mean.

    Arguments:
        estimators: The estimators.
        sums: Of each the sums of every block, shape ``(block, ...)``.
        paths: Number of paths in all.
        communicator: Ranks that share the estimates, of all blocks together and of each. Every rank returns the same.
    """
    blocks = len(sums[0])
    means = [which for which, estimator in enumerate(estimators) if estimator.mean]
    sizes = np.diff(block_edges(paths, blocks)).tolist()

    def of_all(which: int) -> xr.Dataset:
        return estimators[which].dataset(sums[which].sum(0), paths)

    def of_one(part: int) -> NDArray[np.float64]:
        place, block = divmod(part, blocks)
        which = means[place]
        values: NDArray[np.float64] = estimators[which].dataset(sums[which][block], sizes[block])["value"].values
        return values

    datasets = communicator.map(of_all, len(estimators))
    values = communicator.map(of_one, len(means) * blocks)
    scatters = {
        which: np.stack(values[place * blocks : (place + 1) * blocks]).std(0, ddof=1) / np.sqrt(blocks)
        for place, which in enumerate(means)
    }
    for which, dataset in enumerate(datasets):
        scatter = scatters.get(which, np.full(dataset["value"].shape, np.nan))
        attributes = dataset["value"].attrs | {"long_name": "standard error of value from the scatter of blocks"}
        datasets[which] = dataset.assign(block_standard_error=(dataset["value"].dims, scatter, attributes))
    return datasets


def inverse_units(process: Process, text: str) -> str:
    """Return units for a table whose entries have those of different variables: 1, or a text where any has units."""
    return "1" if all(variable.units == "1" for variable in process.variables) else text
