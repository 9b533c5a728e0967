r"""Kernel Stein discrepancy of a stationary score along paths, whose states are correlated.

All frames of all paths make one sample of the stationary law. The discrepancy is that of
``kernel_stein_discrepancy``; the signs of its bootstrap persist along a path for longer than the states remember,
without which the test would take correlation for a wrong score.

Source: Chwialkowski, Strathmann and Gretton, A kernel test of goodness of fit (2016), section 4.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from analysis.quantities.blocks import Frame, saved_times
from analysis.quantities.sampled_score import SampledScore
from analysis.stein.base_kernels import BaseKernel, InverseMultiquadricKernel
from analysis.stein.correlation import chosen_memory
from analysis.stein.fields import DiffusionField, field_of, standard_lengths
from analysis.stein.frames import REPLICATES
from analysis.stein.goodness_of_fit import TITLES, stein_test
from analysis.stein.multipliers import persistent_signs
from physcore.communicator import Communicator
from physcore.device import resolve_device
from physcore.process import Process
from physcore.score.score_function import ScoreFunction
from physcore.streams import validated_seed
from physcore.trajectory import frames, validated_trajectories
from physcore.transform import Bijection

__all__ = ["stationary_stein_discrepancy"]

STATES = 4096  # used unless more are asked for; the time grows with their square
FEWEST_FRAMES = 10


def stationary_stein_discrepancy(
    process: Process,
    score: ScoreFunction,
    trajectories: xr.Dataset,
    *,
    times: Sequence[float] | None = None,
    memory: float | None = None,
    field: DiffusionField | Bijection | None = None,
    kernel: BaseKernel | None = None,
    states: int | None = STATES,
    replicates: int = REPLICATES,
    seed: int = 0,
    device: str = "cpu",
    communicator: Communicator | None = None,
) -> xr.Dataset:
    """Return the squared kernel Stein discrepancy of a stationary score, and the probability of it.

    Arguments:
        process: The process.
        score: Anything with ``score(state, time)`` that holds all components.
        trajectories: Stationary paths that were not learned from, dimensions ``path`` and ``time``; one may do.
        times: Saved times to use, evenly spaced; all at which the score is known when None.
        memory: Time over which the signs of the bootstrap persist, several times that over which the states do; when
            None it is chosen from the correlation of the states.
        field: A matrix field or a map, see ``diffusion_kernel_stein_discrepancy``; when None every variable is measured
            by its standard deviation.
        kernel: Base kernel; the inverse multiquadric when None.
        states: How many states to use; of more, frames are left out evenly. All when None.
        replicates: Replicates of the bootstrap.
        seed: Seed of their signs.
        device: Where pairs are computed: ``cpu``, ``cuda`` or ``auto``.
        communicator: Ranks that share the pairs; serial when None. Every rank returns the same Dataset.

    Returns:
        Dataset without dimensions: the unbiased ``value`` with ``standard_error``, ``v_statistic``, ``p_value``,
        ``bandwidth``, the number of ``states`` and the ``memory``.

    Raises:
        ValueError: If a time was not saved or lies outside the trained range, there are fewer than ten frames, the
            memory is negative, or the score is not known at a state.
        NumericalError: If a state or a learned score is not finite.

    Error:
        Of ``value`` its standard error, and about a tenth of the part that correlation has in ``v_statistic`` is left
        in it. The level of the test is right for paths much longer than the memory.

    Source: see the module.
    """
    if memory is not None and not (memory >= 0 and math.isfinite(memory)):
        raise ValueError(f"`memory` must be at least 0 and finite, or None; got {memory}.")
    if replicates < 1:
        raise ValueError(f"`replicates` must be at least 1; got {replicates}.")
    validated_seed(seed)
    where = resolve_device(device, 0 if communicator is None else communicator.rank_on_host())
    sampled = SampledScore(process, score)
    paths = validated_trajectories(process, trajectories).sizes["path"]
    moments = _thinned(saved_times(process, trajectories, times, sampled.known_at), paths, states)
    sampled.prepare(moments)
    points, scores = _pooled(process, trajectories, sampled, moments)
    chosen = standard_lengths(points, None) if field is None else field_of(field)
    features = chosen.features(points, scores).to(where)
    base = (InverseMultiquadricKernel() if kernel is None else kernel).fitted(features.points)
    if memory is None:
        alone = stein_test(features, base, communicator=communicator)
        spacing = float(moments[-1] - moments[0]) / (len(moments) - 1)
        memory = chosen_memory(features, base, paths, alone.v_statistic, spacing)
    signs = persistent_signs(seed, replicates, paths, moments, memory)
    kept = np.zeros(len(moments) - 1) if memory == 0 else np.exp(-np.diff(moments) / memory)
    test = stein_test(features, base, signs, persistence=torch.from_numpy(kept), communicator=communicator)
    titles = TITLES | {"value": "squared kernel Stein discrepancy"}
    variables = {name: ((), getattr(test, name), {"long_name": title}) for name, title in titles.items()}
    variables["memory"] = ((), memory, {"long_name": "memory of the signs", "units": process.time_units})
    return xr.Dataset(variables, attrs={"paths": paths, "replicates": replicates, "seed": str(seed)})


def _thinned(times: NDArray[np.float64], paths: int, states: int | None) -> NDArray[np.float64]:
    """Return every so many of the times, so that there are no more states than wanted."""
    if states is not None and states < FEWEST_FRAMES * paths:
        raise ValueError(f"`states` must be at least {FEWEST_FRAMES} a path, {FEWEST_FRAMES * paths}; got {states}.")
    chosen = times if states is None else times[:: -(-len(times) * paths // states)]
    if len(chosen) < FEWEST_FRAMES:
        raise ValueError(f"a stationary test needs {FEWEST_FRAMES} frames at least; there are {len(chosen)}.")
    return chosen


def _pooled(
    process: Process, trajectories: xr.Dataset, sampled: SampledScore, times: NDArray[np.float64]
) -> tuple[Tensor, Tensor]:
    """Return states and scores, shape ``(path * frame, component)``, the frames of a path one after the other."""
    states = frames(process, trajectories.sel(time=times, method="nearest"), torch.float64)
    scores = torch.empty_like(states)
    for index, time in enumerate(times):
        scores[index], known = sampled.at(Frame(index, torch.tensor(time, dtype=torch.float64), states[index]))
        if not bool(known.all()):
            raise ValueError(f"the score is not known at {int((~known).sum())} states of time {time:g}.")
    return states.transpose(0, 1).flatten(0, 1), scores.transpose(0, 1).flatten(0, 1)
