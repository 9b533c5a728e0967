r"""Diffusion kernel Stein discrepancy: the kernel Stein discrepancy with a matrix field.

.. math:: \mathrm{DKSD}_m^2 = E\left[\frac1{p\,p'} \nabla' \cdot \nabla \cdot \left(p\,m\,k\,m'^T p'\right)\right]

With the inverse Jacobian :math:`m = (\partial T / \partial x)^{-1}` of a map and its kernel :math:`k(T(x), T(x'))` it
is the kernel Stein discrepancy of the laws that the map makes of both: a map that draws heavy tails in tests these with
a bounded score, and one that stretches them forgives outliers.

Source: Barp et al., Minimum Stein discrepancy estimators (2019); Gong and Li, Interpreting diffusion score matching
using normalizing flow (2021), for the map.
"""

from collections.abc import Sequence

import xarray as xr

from analysis.quantities.sampled_score import SampledScore
from analysis.stein.base_kernels import BaseKernel, InverseMultiquadricKernel
from analysis.stein.fields import DiffusionField, field_of
from analysis.stein.frames import PATHS, REPLICATES, FrameTests, several
from physcore.communicator import Communicator
from physcore.process import Process
from physcore.score.score_function import ScoreFunction
from physcore.transform import Bijection

__all__ = ["diffusion_kernel_stein_discrepancy"]


def diffusion_kernel_stein_discrepancy(
    process: Process,
    score: ScoreFunction,
    trajectories: xr.Dataset,
    field: DiffusionField | Bijection | Sequence[DiffusionField | Bijection],
    *,
    times: Sequence[float] | None = None,
    kernel: BaseKernel | None = None,
    paths: int | None = PATHS,
    replicates: int = REPLICATES,
    seed: int = 0,
    device: str = "cpu",
    communicator: Communicator | None = None,
) -> xr.Dataset:
    """Return the squared diffusion kernel Stein discrepancy of a score at each time, and the probability of it.

    Arguments:
        process: The process.
        score: Anything with ``score(state, time)`` that holds all components: a learned score or a reference.
        trajectories: Paths that were not learned from, dimensions ``path`` and ``time``.
        field: The field: a map, a ``MatrixField`` of a function or a ``MetricField`` of a metric. Of several the one of
            most power is taken, on the first fifth of the paths, which the test then leaves out; never one that was
            chosen to make the discrepancy small.
        times: Saved times; all at which the score is known when None.
        kernel: Base kernel, of the mapped states where the field is a map; the inverse multiquadric when None.
        paths: How many of the paths to use, the first, in a time that grows with the square; all when None.
        replicates: Replicates of the bootstrap.
        seed: Seed of their signs.
        device: Where pairs are computed: ``cpu``, ``cuda`` or ``auto``.
        communicator: Ranks that share the pairs; serial when None. Every rank returns the same Dataset.

    Returns:
        Dataset as that of ``kernel_stein_discrepancy``. Values of different fields are on different scales.

    Raises:
        TypeError: If the field is none.
        ValueError: If a time was not saved or lies outside the trained range, an option is out of range, the score
            lacks components, or a state lies outside the domain of a map.
        NumericalError: If a state or a learned score is not finite.

    Source: see the module.
    """
    candidates: tuple[DiffusionField | Bijection, ...] = several(field)
    fields = [field_of(one) for one in candidates]
    SampledScore(process, score)  # refuses a score that lacks components
    return FrameTests(
        process=process,
        score=score,
        trajectories=trajectories,
        kernels=(InverseMultiquadricKernel() if kernel is None else kernel,),
        fields=lambda _: fields,
        paths=paths,
        replicates=replicates,
        seed=seed,
        device=device,
        communicator=communicator,
    ).at(times)
