r"""Probability current and mean local velocity, on bins of one or two variables.

.. math:: \nu(x, t) = f(x, t) - D s(x, t), \qquad J(x, t) = q(x, t)\,\nu(x, t), \quad D = \tfrac12 G G^T

Over the other variables the current is integrated exactly, by averaging: a bin :math:`B` of volume :math:`|B|` holds
:math:`J_B = E[\nu\,1_B(X)] / |B|`, and its mean local velocity is :math:`E[\nu \,|\, X \in B]`. Without a current
nothing flows in the mean though every path moves; in a stationary state the current has no divergence.

Source: Seifert, Stochastic thermodynamics, fluctuation theorems and molecular machines (2012), section 2; standard
error of a ratio: Cochran, Sampling Techniques (1977), section 6.4.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from analysis.path_means import Frame, Sums, reduced, saved_times
from analysis.sampled_score import SampledScore
from physcore.communicator import Communicator
from physcore.diffusivity import Diffusivity
from physcore.process import Process
from physcore.score.score_function import ScoreFunction

__all__ = ["mean_local_velocity", "probability_current"]

Edges = Sequence[NDArray[np.float64]]


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
    indices, sides = _axes(process, edges, variables)
    sampled = SampledScore(process, score, process.driven)
    moments = saved_times(process, trajectories, times, sampled.known_at)
    sampled.prepare(moments)
    bins = int(np.prod([len(side) - 1 for side in sides]))

    def work(block: Iterator[Frame]) -> Sums:
        # Of each bin: how many states, then of every direction sum and sum of squares of the velocity.
        sums = np.zeros((1 + 2 * len(indices), len(moments), bins))
        for frame in block:
            scores, known = sampled.at(frame)
            diffusivity = Diffusivity.of(process, frame.time)
            velocity = process.drift(frame.states, frame.time) - diffusivity.apply(scores)
            place, inside = _placed(frame.states[:, indices].numpy(), sides)
            inside &= known.numpy()
            weights = [np.ones(len(place))]
            for column in velocity[:, indices].numpy().T:
                weights += [column, column**2]
            for row, weight in enumerate(weights):
                sums[row, frame.index] = np.bincount(place[inside], weight[inside], bins)
        return sums

    sums = reduced(process, trajectories, moments, work, communicator)
    return _dataset(process, indices, sides, moments, sums, trajectories.sizes["path"])


def _axes(process: Process, edges: Edges, variables: Sequence[str] | None) -> tuple[list[int], Edges]:
    """Return the indices of the variables and their edges, checked."""
    names = [variable.name for variable in process.variables]
    chosen = names[: len(edges)] if variables is None else list(variables)
    if not 1 <= len(edges) <= 2 or len(chosen) != len(edges) or len(set(chosen)) != len(chosen):
        raise ValueError(f"`edges` must be given for one or two different variables; got {len(edges)} for {chosen}.")
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise ValueError(f"`variables` names {unknown}; the process has {names}.")
    sides = [np.asarray(side, dtype=np.float64) for side in edges]
    for name, side in zip(chosen, sides, strict=True):
        if side.ndim != 1 or len(side) < 2 or not np.isfinite(side).all() or np.any(np.diff(side) <= 0):
            raise ValueError(f"`edges` of {name!r} must be two or more increasing numbers; got {side!r}.")
    return [names.index(name) for name in chosen], sides


def _placed(states: NDArray[np.float64], sides: Edges) -> tuple[NDArray[np.intp], NDArray[np.bool]]:
    """Return the bin of each state and whether it lies in any."""
    place, inside = np.zeros(len(states), dtype=np.intp), np.ones(len(states), dtype=bool)
    for column, side in zip(states.T, sides, strict=True):
        index = np.searchsorted(side, column, side="right") - 1
        inside &= (index >= 0) & (index < len(side) - 1)
        place = place * (len(side) - 1) + np.clip(index, 0, len(side) - 2)
    return place, inside


def _dataset(
    process: Process, indices: Sequence[int], sides: Edges, times: NDArray[np.float64], sums: Sums, paths: int
) -> xr.Dataset:
    count, first, second = sums[0], sums[1::2], sums[2::2]
    volume = np.ones(1)
    for side in sides:
        volume = (volume[:, None] * np.diff(side)).ravel()
    with np.errstate(invalid="ignore", divide="ignore"):
        velocity = first / count
        scatter = np.maximum(second - velocity**2 * count, 0.0)  # of the velocities about their mean in the bin
        velocity_error = np.where(count > 1, np.sqrt(scatter / (count - 1) / count), np.nan)
    current_error = np.sqrt(np.maximum(second / paths - (first / paths) ** 2, 0.0) / (paths - 1)) / volume
    share = count / paths
    density_error = np.sqrt(share * (1 - share) / (paths - 1)) / volume
    counts = [len(side) - 1 for side in sides]
    names = [process.variables[i].name for i in indices]
    field, scalar = ("direction", "time", *names), ("time", *names)

    def shaped(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return values.reshape(*values.shape[:-1], *counts)

    fields = {
        "value": (first / paths / volume, "probability current"),
        "standard_error": (current_error, "standard error of value"),
        "velocity": (velocity, "mean local velocity"),
        "velocity_standard_error": (velocity_error, "standard error of velocity"),
    }
    scalars = {
        "density": (share / volume, "probability density"),
        "density_standard_error": (density_error, "standard error of density"),
    }
    centres = {
        name: (
            name,
            (side[1:] + side[:-1]) / 2,
            {"units": process.variables[i].units, "symbol": process.variables[i].symbol or name},
        )
        for name, side, i in zip(names, sides, indices, strict=True)
    }
    return xr.Dataset(
        {
            **{name: (field, shaped(values), {"long_name": text}) for name, (values, text) in fields.items()},
            **{name: (scalar, shaped(values), {"long_name": text}) for name, (values, text) in scalars.items()},
        },
        {
            "direction": names,
            "time": ("time", times, {"long_name": "time", "units": process.time_units}),
            **centres,
        },
        {"paths": paths},
    ).transpose("time", "direction", ...)
