r"""Entropy production rate: how strongly the paths of a process and their reversals differ.

.. math:: \dot S_{\rm tot} = E\left[(f^{\rm irr} - D s)^T D^{-1} (f^{\rm irr} - D s)\right], \qquad
          \dot S_{\rm med} = E\left[f^{\rm irr\,T} D^{-1} f^{\rm irr}
          + \nabla \cdot f^{\rm irr} - \nabla \cdot f^{\rm rev}\right],

:math:`\dot S_{\rm sys} = \dot S_{\rm tot} - \dot S_{\rm med}`, with :math:`D = G G^T / 2`, inverted on its range, and
the irreversible and reversible drift of ``time_reversal``. The total rate needs the score of the driven components
alone, the medium's needs none: :math:`E[f \cdot s] = -E[\nabla \cdot f]` took its place. The unit is Boltzmann's
constant per time. An error :math:`\delta` of the score adds :math:`E[\delta^T D \delta]` to the total rate, and twice
its correlation with the irreversible velocity.

The value depends on the convention of parities, which comes with every result: an active particle whose propulsion is
even dissipates another amount than one whose propulsion is odd.

Source: Spinney and Ford, Entropy production in full phase space for continuous stochastic dynamics (2012); Seifert,
Stochastic thermodynamics, fluctuation theorems and molecular machines (2012). The medium's form without a score is
derived.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from analysis.quantities.blocks import Block, Frame, Sums
from analysis.quantities.path_means import PathMeans, sums_of
from analysis.quantities.quantity import Estimator, Quantity, Subject
from analysis.quantities.sampled_score import SampledScore
from analysis.quantities.time_reversal import TimeReversal
from analysis.references.reference import Reference
from physcore.communicator import Communicator
from physcore.diffusivity import Diffusivity
from physcore.process import Process
from physcore.score.score_function import ScoreFunction
from physcore.streams import Streams
from physcore.variable import reciprocal_units

__all__ = ["EntropyProductionRate", "entropy_production_rate"]

QUANTITIES = ("total", "medium", "system")
RATES, PRODUCED = 0, 1
TRIAL_PATHS = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class EntropyProductionRate(Quantity):
    """The entropy production rate by each score.

    Arguments:
        parity: Sign under time reversal, 1 or -1, by the name of a variable; as declared by the variables where not
            given.
    """

    most_unasked: ClassVar[int] = 32  # components: the Jacobian of every path is made

    parity: dict[str, int] | None = None

    def check(self, process: Process, references: Mapping[str, Reference], components: Sequence[int]) -> None:
        """Refuse an unknown parity, and a rate that is infinite, as initial states show; see ``Quantity.check``."""
        missing = [process.variables[i].name for i in process.driven if i not in components]
        if missing:
            raise ValueError(f"it needs the driven components of the score; it does not hold {missing}.")
        states = process.sample_initial(TRIAL_PATHS, Streams(0, "entropy production").generator()).double()
        time = torch.zeros((), dtype=torch.float64)
        TimeReversal.of(process, self.parity).check(Diffusivity.of(process, time), states, time)

    def unasked(self, process: Process, references: Mapping[str, Reference], components: Sequence[int]) -> bool:
        """Return whether it is finite by the parities that the variables declare, which are few."""
        if process.dimension > self.most_unasked:
            return False
        try:
            self.check(process, references, components)
        except ValueError:
            return False
        return True

    def estimator(self, subject: Subject, name: str) -> Estimator:
        """Return how it is estimated; see ``Quantity.estimator``."""
        return _estimator(subject.sampled(name), TimeReversal.of(subject.process, self.parity), subject.times)


def entropy_production_rate(
    process: Process,
    score: ScoreFunction,
    trajectories: xr.Dataset,
    *,
    times: Sequence[float] | None = None,
    parity: Mapping[str, int] | None = None,
    communicator: Communicator | None = None,
) -> xr.Dataset:
    """Return the entropy production rate along simulated paths, and what was produced since the first time.

    Arguments:
        process: The process.
        score: Anything with ``score(state, time)``: a learned score of the driven components, or a reference.
        trajectories: States to average over, dimensions ``path`` and ``time``.
        times: Saved times; all at which the score is known when None.
        parity: Sign under time reversal, 1 or -1, by the name of a variable; as declared by the variables where not
            given.
        communicator: Ranks that share the blocks of paths; serial when None. Every rank returns the same Dataset.

    Returns:
        Dataset with dimensions ``quantity`` (total, medium, system) and ``time``: the rate ``value`` with
        ``standard_error``; the entropy ``produced`` since the first of the times, by the trapezoidal rule along each
        path, with ``produced_standard_error``; and the fraction of states ``outside`` that the score knows nothing
        about. The attribute ``parity`` states the convention.

    Raises:
        ValueError: If a time was not saved, a parity is not known, or the rate is infinite because an irreversible
            drift acts where no noise does.
        NumericalError: If a state or a learned score is not finite.
    """
    reversal, sampled = TimeReversal.of(process, parity), SampledScore(process, score, process.driven)
    moments = sampled.prepared(trajectories, times)
    return _estimator(sampled, reversal, moments).over(process, trajectories, communicator)


def _estimator(sampled: SampledScore, reversal: TimeReversal, times: NDArray[np.float64]) -> Estimator:
    def work(block: Block) -> Sums:
        sums = np.zeros((2, 3, len(times), len(QUANTITIES)))
        before = produced = always = torch.empty(0)
        for frame in block:
            scores, known = sampled.at(frame)
            rates = _rates(reversal, scores, frame)
            if frame.index == 0:
                produced, always = torch.zeros_like(rates), known
            else:
                step = times[frame.index] - times[frame.index - 1]
                produced, always = produced + 0.5 * step * (before + rates), always & known
            before = rates
            sums[RATES, :, frame.index] = sums_of(rates, known)
            sums[PRODUCED, :, frame.index] = sums_of(produced, always)
        return sums

    return Estimator(times, work, lambda sums, paths: _dataset(reversal, times, sums, paths))


def _rates(reversal: TimeReversal, scores: Tensor, frame: Frame) -> Tensor:
    """Return what each path adds to the rates, shape ``(path, quantity)``."""
    states, time = frame.states, frame.time
    diffusivity = Diffusivity.of(reversal.process, time)
    reversal.check(diffusivity, states, time)
    irreversible, _ = reversal.parts(states, time)
    contracting, carrying = reversal.divergences(states, time)
    velocity = irreversible - diffusivity.apply(scores)
    total = (velocity * diffusivity.solve(velocity)).sum(-1)
    medium = (irreversible * diffusivity.solve(irreversible)).sum(-1) + contracting - carrying
    return torch.stack([total, medium, total - medium], -1)


def _dataset(reversal: TimeReversal, times: NDArray[np.float64], sums: Sums, paths: int) -> xr.Dataset:
    process = reversal.process
    rates, produced = (PathMeans.of(np.moveaxis(part, -1, 1)) for part in sums)
    units = reciprocal_units(process.time_units)
    stacked = ("quantity", "time")
    named = {
        "value": (rates.value, "entropy production rate", units),
        "standard_error": (rates.standard_error, "standard error of value", units),
        "produced": (produced.value, "entropy produced since the first time", "1"),
        "produced_standard_error": (produced.standard_error, "standard error of produced", "1"),
    }
    return xr.Dataset(
        {
            **{name: (stacked, v, {"long_name": text, "units": unit}) for name, (v, text, unit) in named.items()},
            "outside": (
                "time",
                1 - sums[RATES, 0, :, 0] / paths,
                {"long_name": "fraction of states outside the score", "units": "1"},
            ),
        },
        {
            "quantity": list(QUANTITIES),
            "time": ("time", times, {"long_name": "time", "units": process.time_units}),
        },
        {"parity": reversal.convention, "paths": paths},
    )
