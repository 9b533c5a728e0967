r"""Probability current and mean local velocity, on bins of one or two variables.

.. math:: \nu(x, t) = f(x, t) - D s(x, t), \qquad J(x, t) = q(x, t)\,\nu(x, t), \quad D = \tfrac12 G G^T

Over the other variables the current is integrated exactly, by averaging: a bin :math:`B` of volume :math:`|B|` holds
:math:`J_B = E[\nu\,1_B(X)] / |B|`, and its mean local velocity is :math:`E[\nu \,|\, X \in B]`. Without a current
nothing flows in the mean though every path moves; in a stationary state the current has no divergence.

Source: Seifert, Stochastic thermodynamics, fluctuation theorems and molecular machines (2012), section 2.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from analysis.quantities.bins import Bins, Edges, checked_plane
from analysis.quantities.blocks import Block, Sums
from analysis.quantities.quantity import Estimator, Quantity, Subject
from analysis.quantities.sampled_score import SampledScore
from analysis.references.reference import Reference
from physcore.communicator import Communicator
from physcore.diffusivity import Diffusivity, check_additive
from physcore.process import Process
from physcore.score.score_function import ScoreFunction
from physcore.variable import reciprocal_units

__all__ = ["MeanLocalVelocity", "ProbabilityCurrent", "mean_local_velocity", "probability_current"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbabilityCurrent(Quantity):
    """The probability current by each score, at the shown times.

    Arguments:
        variables: Names of one or two variables to bin; the first ones when None.
        bins: Number of bins along each.

    Raises:
        ValueError: If there are fewer than two bins.
    """

    variables: list[str] | None = None
    bins: int = 40

    def check(self, process: Process, references: Mapping[str, Reference], components: Sequence[int]) -> None:
        """Refuse unknown variables, general noise, and a score without driven components; see ``Quantity.check``."""
        checked_plane(process, self.variables, self.bins)
        check_additive(process)
        missing = [process.variables[i].name for i in process.driven if i not in components]
        if missing:
            raise ValueError(f"a current needs the driven components of the score; it does not hold {missing}.")

    def unasked(self, process: Process, references: Mapping[str, Reference], components: Sequence[int]) -> bool:
        """Return whether the first variables are all there are."""
        return process.dimension <= 2 and process.noise_type == "additive" and {*process.driven} <= {*components}

    def estimator(self, subject: Subject, name: str) -> Estimator:
        """Return how it is estimated; see ``Quantity.estimator``."""
        plane = checked_plane(subject.process, self.variables, self.bins)
        bins = Bins.around(subject.process, subject.trajectories, subject.shown, plane, self.bins)
        return _estimator(subject.sampled(name), bins, subject.shown)

    def headline(self, dataset: xr.Dataset) -> xr.Dataset:
        """Return the current in each direction where it is largest."""
        entries = dataset[["value", "standard_error"]].stack(bin=dataset.attrs["variables"].split())
        sure = np.isfinite(entries["standard_error"])
        largest = abs(entries["value"]).where(sure, 0.0).sum("score").argmax("bin")  # the same bin for all scores
        chosen = entries.isel(bin=largest).drop_vars(["bin", *dataset.attrs["variables"].split()])
        labels = [f"largest {self._symbol}_{name}" for name in dataset["direction"].values]
        return chosen.assign_coords(direction=labels)

    @property
    def _symbol(self) -> str:
        return "J"


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeanLocalVelocity(ProbabilityCurrent):
    """The mean local velocity by each score, at the shown times.

    Arguments:
        variables: Names of one or two variables to bin; the first ones when None.
        bins: Number of bins along each.
    """

    def unasked(self, process: Process, references: Mapping[str, Reference], components: Sequence[int]) -> bool:
        """Return that it is not: the current has it too."""
        return False

    def estimator(self, subject: Subject, name: str) -> Estimator:
        """Return how it is estimated; see ``Quantity.estimator``."""
        estimator = super().estimator(subject, name)

        def dataset(sums: Sums, paths: int) -> xr.Dataset:
            whole = estimator.dataset(sums, paths)
            kept = ["velocity", "velocity_standard_error", "density", "density_standard_error"]
            names = {"velocity": "value", "velocity_standard_error": "standard_error"}
            renamed: xr.Dataset = whole[kept].rename(names)
            renamed["standard_error"].attrs["long_name"] = "standard error of value"
            return renamed

        return dataclasses.replace(estimator, dataset=dataset)

    @property
    def _symbol(self) -> str:
        return "velocity"


def mean_local_velocity(process: Process, score: ScoreFunction, state: Tensor, time: Tensor | float) -> Tensor:
    r"""Return the mean local velocity :math:`\nu = f - D s`.

    Arguments:
        process: The process.
        score: Anything with ``score(state, time)`` that holds the driven components.
        state: States, shape ``(..., component)``.
        time: One time, shape ``()``.

    Returns:
        Shape of ``state``, units of the state per time; NaN where the score knows nothing.
    """
    moment = torch.as_tensor(time, dtype=torch.float64)
    with torch.no_grad():
        known = score.score(state, moment).to(state)
        return process.drift(state, moment) - Diffusivity.of(process, moment).apply(known)


def probability_current(
    process: Process,
    score: ScoreFunction,
    trajectories: xr.Dataset,
    edges: Edges,
    *,
    variables: Sequence[str] | None = None,
    times: Sequence[float] | None = None,
    communicator: Communicator | None = None,
) -> xr.Dataset:
    """Return the probability current in one or two variables, binned over simulated states.

    Arguments:
        process: The process.
        score: Anything with ``score(state, time)`` that holds the driven components.
        trajectories: States to average over, dimensions ``path`` and ``time``.
        edges: Increasing edges of the bins, an array for each of the variables.
        variables: Names of the variables, one or two; the first ones, as many as ``edges``, when None.
        times: Saved times; all at which the score is known when None.
        communicator: Ranks that share the blocks of paths; serial when None. Every rank returns the same Dataset.

    Returns:
        Dataset with dimensions ``time``, ``direction`` (the variables) and one for each variable, the centres of the
        bins: the current ``value`` with ``standard_error``, the ``velocity`` and the ``density`` with theirs. The
        velocity is NaN in bins without a state.

    Raises:
        ValueError: If edges or variables do not fit, or a time was not saved.
        NumericalError: If a state or a learned score is not finite.
    """
    names = [variable.name for variable in process.variables][: len(edges)] if variables is None else list(variables)
    bins = Bins(process, names, [np.asarray(side, dtype=np.float64) for side in edges])
    sampled = SampledScore(process, score, process.driven)
    moments = sampled.prepared(trajectories, times)
    return _estimator(sampled, bins, moments).over(process, trajectories, communicator)


def _estimator(sampled: SampledScore, bins: Bins, times: NDArray[np.float64]) -> Estimator:
    process = sampled.process

    def work(block: Block) -> Sums:
        sums = np.zeros((1 + 2 * len(bins.names), len(times), int(np.prod(bins.counts))))
        for frame in block:
            scores, known = sampled.at(frame)
            diffusivity = Diffusivity.of(process, frame.time)
            velocity = process.drift(frame.states, frame.time) - diffusivity.apply(scores)
            sums[:, frame.index] = bins.sums(frame.states, velocity[:, bins.indices], known)
        return sums

    return Estimator(times, work, lambda sums, paths: _dataset(bins, times, sums, paths))


def _dataset(bins: Bins, times: NDArray[np.float64], sums: Sums, paths: int) -> xr.Dataset:
    process = bins.process
    current, current_error = bins.fluxes(sums, paths)
    velocity, velocity_error = bins.means(sums)
    density, density_error = bins.density(sums[0], paths)
    field, scalar = ("direction", "time", *bins.names), ("time", *bins.names)
    rate = reciprocal_units(process.time_units)
    same = len({process.variables[i].units for i in bins.indices}) == 1
    along = process.variables[bins.indices[0]].units if same else "[direction]"
    speed = " ".join(unit for unit in (along, rate) if unit != "1") or "1"
    flux = " ".join(unit for unit in (speed, bins.density_units) if unit != "1") or "1"
    fields = {
        "value": (field, current, "probability current", flux),
        "standard_error": (field, current_error, "standard error of value", flux),
        "velocity": (field, velocity, "mean local velocity", speed),
        "velocity_standard_error": (field, velocity_error, "standard error of velocity", speed),
        "density": (scalar, density, "probability density", bins.density_units),
        "density_standard_error": (scalar, density_error, "standard error of density", bins.density_units),
    }
    return xr.Dataset(
        {
            name: (dims, bins.shaped(values), {"long_name": text, "units": units})
            for name, (dims, values, text, units) in fields.items()
        },
        {"direction": list(bins.names), **bins.coordinates(times)},
        {"paths": paths, "variables": " ".join(bins.names)},
    ).transpose("time", "direction", ...)
