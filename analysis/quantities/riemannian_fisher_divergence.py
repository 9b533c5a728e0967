r"""Fisher divergence of two scores in a metric: what diffusion score matching minimises.

.. math:: F_m(q, p) = \tfrac12 E_q\left|m^T (s_p - s_q)\right|^2
          = \tfrac12 E_q\left|\nabla_G \log(p / q)\right|_G^2, \qquad G^{-1} = m m^T

With the field :math:`m = (\partial T / \partial x)^{-1}` of a map it is the plain Fisher divergence of the laws that
the map makes of both, whose log-determinants cancel.

Source: Barp et al., Minimum Stein discrepancy estimators (2019), the diffusion score matching divergence, here with a
factor 1/2; Gong and Li, Interpreting diffusion score matching using normalizing flow (2021), for the map; the metric is
derived.
"""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr

from analysis.quantities.blocks import Block, Sums, block_sums, saved_times
from analysis.quantities.path_means import PathMeans, sums_of_ratio
from analysis.quantities.sampled_score import SampledScore, held_components
from analysis.stein.fields import DiffusionField, ScaledField, field_of
from physcore.communicator import Communicator
from physcore.process import Process
from physcore.score.score_function import ScoreFunction
from physcore.transform import Bijection

__all__ = ["riemannian_fisher_divergence"]


def riemannian_fisher_divergence(
    process: Process,
    score: ScoreFunction,
    reference: ScoreFunction,
    trajectories: xr.Dataset,
    *,
    field: DiffusionField | Bijection | None = None,
    normalised: bool = False,
    times: Sequence[float] | None = None,
    communicator: Communicator | None = None,
) -> xr.Dataset:
    r"""Return the Fisher divergence of a score from a reference along simulated paths.

    Arguments:
        process: The process.
        score: The score :math:`s_p`; of one that holds some components alone these are compared, without a field.
        reference: The score :math:`s_q` of the law of the states.
        trajectories: States to average over, dimensions ``path`` and ``time``.
        field: A map, a ``MatrixField`` of a function or a ``MetricField`` of a metric; the identity when None.
        normalised: Whether to divide by :math:`E|m|^2 / d`, which makes values of different fields comparable; of a map
            this takes a product for each component.
        times: Saved times; all at which both scores are known when None.
        communicator: Ranks that share the blocks of paths; serial when None. Every rank returns the same Dataset.

    Returns:
        Dataset with dimension ``time``: ``value`` with ``standard_error``, and ``states``, how many went in.

    Raises:
        TypeError: If the field is none.
        ValueError: If a time was not saved or lies outside a trained range, a score lacks components, or a state lies
            outside the domain of a map.
        NumericalError: If a state or a learned score is not finite.

    Error:
        Of a normalised value the standard error is that of a ratio of means, to first order.
    """
    held = held_components(process, score) if field is None else list(range(process.dimension))
    compared = [SampledScore(process, one, held) for one in (score, reference)]
    known = [one.known_at for one in compared]
    moments = saved_times(process, trajectories, times, lambda time: all(at(time) for at in known))
    for one in compared:
        one.prepare(moments)
    chosen = ScaledField(lengths=(1.0,) * process.dimension, held=tuple(held)) if field is None else field_of(field)

    def work(block: Block) -> Sums:
        sums = np.zeros((6, len(moments)))
        for frame in block:
            (first, here), (second, there) = (one.at(frame) for one in compared)
            both = here & there
            states, apart = frame.states[both], (first - second)[both]
            half = 0.5 * chosen.transposed(states, apart).square().sum(-1)
            size = torch.ones_like(half)
            if normalised:
                size = chosen.columns(states).square().sum((-2, -1)) / process.dimension
            ratio = sums_of_ratio(
                half.unsqueeze(-1).detach(), size.unsqueeze(-1), torch.ones_like(half, dtype=torch.bool)
            )
            sums[:, frame.index] = ratio.squeeze(-1)
        return sums

    (sums,) = block_sums(process, trajectories, [(moments, work)], communicator=communicator)
    total = sums.sum(0)
    means = PathMeans.of_ratio(total)
    return xr.Dataset(
        {
            "value": ("time", means.value, {"long_name": "Fisher divergence"}),
            "standard_error": ("time", means.standard_error, {"long_name": "standard error of value"}),
            "states": ("time", total[0].astype(int), {"long_name": "number of states"}),
        },
        {"time": ("time", moments, {"long_name": "time", "units": process.time_units})},
        {"paths": trajectories.sizes["path"], "normalised": int(normalised)},
    )
