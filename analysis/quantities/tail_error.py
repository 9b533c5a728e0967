r"""Errors of scores by how far out in the tails.

.. math:: \epsilon_k = \frac{E[|s_\theta - s|^2 \mid X \in B_k]}{E[|s|^2 \mid X \in B_k]}, \qquad
          r = \left|\frac{x - \operatorname{median}}{1.4826\,\mathrm{MAD}}\right|

The bins :math:`B_k` hold the states whose distance :math:`r` from the bulk is exceeded by given fractions of all. An
average over all states hides the tails of a heavy-tailed law, where the score is small and states are few.

Source: derived; the scale is the robust one of Huber, Robust Statistics (1981).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from analysis.quantities.path_means import PathMeans, sums_of_ratio
from physcore.score.score_function import ScoreFunction

__all__ = ["tail_error"]

FRACTIONS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
FEWEST = 64  # states in the outermost bin
DEVIATION = 1.4826  # standard deviation of a Gaussian in units of its median absolute deviation


def tail_error(
    scores: Mapping[str, ScoreFunction],
    reference: ScoreFunction,
    states: Tensor,
    *,
    time: float,
    fractions: Sequence[float] = FRACTIONS,
) -> xr.Dataset:
    """Return the errors of scores in bins of the distance from the bulk.

    Arguments:
        scores: Scores by name.
        reference: The score to compare with, known at every state.
        states: Independent states of one time, shape ``(path, component)``.
        time: That time.
        fractions: Fractions of the states that lie beyond the inner edge of each bin, falling from 1.

    Returns:
        Dataset with dimensions ``score`` and ``fraction``: relative error ``value`` with ``standard_error``, and for
        each bin the median ``distance`` and the number of ``states``.

    Raises:
        ValueError: If the fractions do not fall from 1, the outermost bin has too few states, most values of a
            component are the same, or the reference does not know a state.
    """
    edges = np.asarray(fractions, dtype=np.float64)
    if edges[0] != 1 or (np.diff(edges) >= 0).any() or edges[-1] <= 0:
        raise ValueError(f"`fractions` must fall from 1 and be positive; got {tuple(fractions)}.")
    if len(states) * edges[-1] < FEWEST:
        raise ValueError(f"`states` must be at least {int(np.ceil(FEWEST / edges[-1]))}; got {len(states)}.")
    distance = _distance(states.double())
    order = distance.argsort(descending=True)
    instant = torch.tensor(time, dtype=torch.float64)
    exact = reference.score(states, instant).double()
    if not bool(exact.isfinite().all()):
        raise ValueError("`reference` must know the score of every state.")
    last = np.round(len(states) * edges).astype(int)
    first = np.append(last[1:], 0)
    bins = [order[start:stop] for start, stop in zip(first, last, strict=True)]
    norms = exact.square().sum(-1)
    values = []
    for score in scores.values():
        with torch.no_grad():
            errors = (score.score(states, instant).double() - exact).square().sum(-1)
        values.append([_ratio(errors[part], norms[part]) for part in bins])
    table = np.asarray(values).transpose(2, 0, 1)
    middle = [float(distance[part].median()) for part in bins]
    both = ("score", "fraction")
    return xr.Dataset(
        {
            "value": (both, table[0], {"long_name": "relative score error", "units": "1"}),
            "standard_error": (both, table[1], {"long_name": "standard error of value", "units": "1"}),
            "distance": ("fraction", middle, {"long_name": "distance from the median in robust deviations"}),
            "states": ("fraction", last - first, {"long_name": "number of states"}),
        },
        {"score": list(scores), "fraction": edges},
        {"time": time},
    )


def _distance(states: Tensor) -> Tensor:
    median = states.median(0).values
    scale = DEVIATION * (states - median).abs().median(0).values
    if not bool((scale > 0).all()):
        raise ValueError("`states` have a component of which most values are the same.")
    distance: Tensor = ((states - median) / scale).square().sum(-1).sqrt()
    return distance


def _ratio(errors: Tensor, norms: Tensor) -> tuple[float, float]:
    """Return the ratio of means over a bin and its standard error."""
    everywhere = torch.ones(len(errors), dtype=torch.bool)
    ratio = PathMeans.of_ratio(sums_of_ratio(errors.unsqueeze(-1), norms.unsqueeze(-1), everywhere))
    return float(ratio.value[0]), float(ratio.standard_error[0])
