r"""Error of a log density against a reference, over simulated states.

.. math:: \Delta(x, t) = \log q_{\rm ref}(x, t) - \log q(x, t)

Its mean over states of the reference's law is the Kullback-Leibler divergence :math:`D(q_{\rm ref} \| q)`, positive for
a normalised :math:`q`; its mean square shows what the mean may cancel.

Source: Cover and Thomas, Elements of Information Theory (2006), section 2.3.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from analysis.quantities.blocks import Block, Sums, block_edges, saved_times
from analysis.quantities.path_means import PathMeans, sums_of
from analysis.quantities.quantity import LEARNED, Estimator, Quantity, Subject
from analysis.references.reference import Reference
from physcore.communicator import Communicator
from physcore.diffusivity import check_additive
from physcore.process import Process
from physcore.reverse.probability_flow import ProbabilityFlow
from physcore.score.score_function import LogDensity

__all__ = ["LogDensityError", "log_density_error"]

STATISTICS = ("mean", "mean square")
TOLERANCE = 1e-5  # of the probability flow


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogDensityError(Quantity):
    """The error of the log density that the probability flow of the learned score has, and of other references.

    The flow is carried back to the first compared time, where the density is taken from the reference.

    Arguments:
        reference: Name of the reference that is taken for true; the first with a density when None.
        paths: States in a frame to carry along the flow, which takes some seconds for a few thousand.

    Raises:
        ValueError: If ``paths`` is below 2.
    """

    reference: str | None = None
    paths: int = 512

    def __post_init__(self) -> None:
        if self.paths < 2:
            raise ValueError(f"`paths` must be at least 2; got {self.paths}.")

    def check(self, process: Process, references: Mapping[str, Reference], components: Sequence[int]) -> None:
        """Refuse a comparison without a density, or a score without the driven components; see ``Quantity.check``."""
        known = [name for name, one in references.items() if one.has_density]
        if self.reference is not None and self.reference not in known:
            raise ValueError(f"`reference` must be one with a density, of {known}; got {self.reference!r}.")
        if not known:
            raise ValueError(f"none of the references {list(references)} has a density.")
        check_additive(process)
        missing = [process.variables[i].name for i in process.driven if i not in components]
        if missing:
            raise ValueError(f"the learned score does not hold the driven components {missing}.")

    def estimator(self, subject: Subject, name: str) -> Estimator | None:
        """Return how it is estimated, at the shown times; see ``Quantity.estimator``."""
        trusted = self.reference or next(name for name, one in subject.references.items() if one.has_density)
        reference, first = subject.references[trusted], float(subject.times[0])
        if name == trusted or (name != LEARNED and not subject.references[name].has_density):
            return None
        density: LogDensity
        if name == LEARNED:
            density = ProbabilityFlow(
                process=subject.process,
                score=subject.score,
                known_time=first,
                known_log_density=lambda states: reference.log_density(states, first),
                tolerance=TOLERANCE,
            )
        else:
            density = subject.references[name]
        paths = subject.trajectories.sizes["path"]
        edges = block_edges(paths, subject.blocks)
        most = max(2, round(self.paths / subject.blocks)) if name == LEARNED else paths
        return _estimator(subject.process, density, reference, subject.shown, edges, most)


def log_density_error(
    process: Process,
    density: LogDensity,
    reference: LogDensity,
    trajectories: xr.Dataset,
    *,
    times: Sequence[float] | None = None,
    communicator: Communicator | None = None,
) -> xr.Dataset:
    """Return mean and mean square of the error of a log density along simulated paths.

    Arguments:
        process: The process.
        density: Anything with ``log_density(state, time)``, such as a ``ProbabilityFlow``.
        reference: The same, taken for true.
        trajectories: States to average over, dimensions ``path`` and ``time``.
        times: Saved times; all when None.
        communicator: Ranks that share the blocks of paths; serial when None. Every rank returns the same Dataset.

    Returns:
        Dataset with dimensions ``statistic`` (mean, mean square) and ``time``: ``value`` with ``standard_error``, and
        the fraction of states ``outside`` that one of the two does not know.

    Raises:
        ValueError: If a time was not saved.
        NumericalError: If a state is not finite.
    """
    moments = saved_times(process, trajectories, times)
    for one in (density, reference):
        if isinstance(one, Reference):
            one.prepare([float(time) for time in moments])

    return _estimator(process, density, reference, moments).over(process, trajectories, communicator)


def _estimator(
    process: Process,
    density: LogDensity,
    reference: LogDensity,
    times: NDArray[np.float64],
    edges: NDArray[np.int64] | None = None,
    most: int | None = None,
) -> Estimator:
    """Return the estimator; of each block between ``edges`` only the first paths, ``most`` of them, are used."""

    def used(block: Block) -> int:
        if edges is None or most is None:
            return len(block.paths)
        first = edges[np.searchsorted(edges, block.paths.start, side="right") - 1]
        return int(np.clip(first + most - block.paths.start, 0, len(block.paths)))

    def work(block: Block) -> Sums:
        sums = np.zeros((4, len(times), len(STATISTICS)))
        count = used(block)
        for frame in block if count else ():
            states = frame.states[:count]
            with torch.no_grad():
                true, given = (one.log_density(states, frame.time).double().cpu() for one in (reference, density))
            error = true - given
            sums[:3, frame.index] = sums_of(torch.stack([error, error.square()], -1), torch.isfinite(error))
            sums[3, frame.index] = count
        return sums

    return Estimator(times, work, lambda sums, _: _dataset(process, times, sums))


def _dataset(process: Process, times: NDArray[np.float64], sums: Sums) -> xr.Dataset:
    means, stacked = PathMeans.of(sums[:3]), ("statistic", "time")
    return xr.Dataset(
        {
            "value": (stacked, means.value.T, {"long_name": "error of the log density", "units": "1"}),
            "standard_error": (stacked, means.standard_error.T, {"long_name": "standard error of value", "units": "1"}),
            "outside": (
                "time",
                1 - sums[0, :, 0] / sums[3, :, 0],
                {"long_name": "fraction of states that are not known", "units": "1"},
            ),
        },
        {
            "statistic": list(STATISTICS),
            "time": ("time", times, {"long_name": "time", "units": process.time_units}),
        },
        {"paths": int(sums[3].max())},
    )
