r"""Kernel Stein discrepancy: how far a score is from the law of simulated states, with a test of it.

.. math:: \mathrm{KSD}^2 = E\left[k\,s \cdot s' + s \cdot \nabla' k + s' \cdot \nabla k
          + \nabla \cdot \nabla' k\right], \qquad s = s(x), \; s' = s(x'), \; k = k(x, x'),

over pairs of independent states. It vanishes only if the score is that of their law, and needs neither a reference nor
a density. With so many states as a simulation gives, every learned score is wrong at some level; the value with its
standard error says how wrong, in units of the spread of the states.

Source: Liu, Lee and Jordan, A kernelized Stein discrepancy for goodness-of-fit tests (2016); Chwialkowski, Strathmann
and Gretton, A kernel test of goodness of fit (2016).
"""

from collections.abc import Sequence
from typing import Literal

import xarray as xr
from torch import Tensor

from analysis.quantities.sampled_score import held_components
from analysis.stein.base_kernels import BaseKernel, InverseMultiquadricKernel
from analysis.stein.fields import ScaledField, standard_lengths
from analysis.stein.frames import PATHS, REPLICATES, FrameTests, several
from physcore.communicator import Communicator
from physcore.process import Process
from physcore.score.score_function import ScoreFunction

__all__ = ["kernel_stein_discrepancy"]

Scaling = Literal["standard-deviation", "none"]
SCALINGS = ("standard-deviation", "none")


def kernel_stein_discrepancy(
    process: Process,
    score: ScoreFunction,
    trajectories: xr.Dataset,
    *,
    times: Sequence[float] | None = None,
    kernel: BaseKernel | Sequence[BaseKernel] | None = None,
    scaling: Scaling = "standard-deviation",
    paths: int | None = PATHS,
    replicates: int = REPLICATES,
    seed: int = 0,
    device: str = "cpu",
    communicator: Communicator | None = None,
) -> xr.Dataset:
    """Return the squared kernel Stein discrepancy of a score at each time, and the probability of it.

    Arguments:
        process: The process.
        score: Anything with ``score(state, time)``: a learned score or a reference. Of a learned score that holds some
            components alone, these are tested.
        trajectories: Paths that were not learned from, dimensions ``path`` and ``time``.
        times: Saved times; all at which the score is known when None.
        kernel: Base kernel, the inverse multiquadric when None; its bandwidth, where it has none, is the median
            distance. Of several the one of most power is taken, on the first fifth of the paths, which the test then
            leaves out.
        scaling: ``standard-deviation`` measures every variable by its spread over the states, ``none`` in its own unit.
        paths: How many of the paths to use, the first, in a time that grows with the square; all when None.
        replicates: Replicates of the bootstrap.
        seed: Seed of their signs, which no number of ranks or times changes.
        device: Where pairs are computed: ``cpu``, ``cuda`` or ``auto``.
        communicator: Ranks that share the pairs; serial when None. Every rank returns the same Dataset.

    Returns:
        Dataset with dimension ``time``: the unbiased ``value`` with ``standard_error``, ``v_statistic``, its quantiles
        ``null`` were the score right (dimension ``quantile``), ``p_value``, ``bandwidth``, the number of ``states``,
        with several kernels the index ``choice``; and ``joint_p_value`` of the largest discrepancy of all times.

    Raises:
        ValueError: If a time was not saved or lies outside the trained range, an option is out of range, or a component
            is the same in all states.
        NumericalError: If a state or a learned score is not finite.

    Error:
        Of ``value`` its standard error; its law is normal where the score is wrong and degenerate where it is right.

    Source: see the module.
    """
    if scaling not in SCALINGS:
        raise ValueError(f"`scaling` must be one of {', '.join(SCALINGS)}; got {scaling!r}.")
    held = held_components(process, score)
    chosen = held if len(held) < process.dimension else None

    def fields(states: Tensor) -> list[ScaledField]:
        if scaling == "standard-deviation":
            return [standard_lengths(states, chosen)]
        return [ScaledField(lengths=(1.0,) * process.dimension, held=None if chosen is None else tuple(chosen))]

    return FrameTests(
        process=process,
        score=score,
        trajectories=trajectories,
        kernels=several(InverseMultiquadricKernel() if kernel is None else kernel),
        fields=fields,
        paths=paths,
        replicates=replicates,
        seed=seed,
        device=device,
        communicator=communicator,
    ).at(times)
