r"""Compositions summed up in the geometry of their ratios.

.. math:: g_i \propto \exp E \log z_i, \qquad \tau_{ij} = \operatorname{Var} \log \frac{z_i}{z_j}, \qquad
          V = \frac{1}{2 d} \sum_{ij} \tau_{ij} = \sum_i \operatorname{Var} \operatorname{clr}_i(z), \qquad
          \operatorname{clr}(z) = \log z - \frac1d \sum_j \log z_j

The centre :math:`g`, the variation matrix :math:`\tau` and the total variance :math:`V` do not depend on the unit of a
part or on the order of the parts; distances of centred log-ratios are those of Aitchison.

Source: Aitchison, The Statistical Analysis of Compositional Data (1986), chapter 4; Pawlowsky-Glahn, Egozcue and
Tolosana-Delgado, Modeling and Analysis of Compositional Data (2015), chapter 5.
"""

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from physcore.transform import Compositions

__all__ = ["aitchison_summary", "centred_log_ratios"]


def centred_log_ratios(parts: Tensor) -> Tensor:
    """Return the centred log-ratios, whose Euclidean distances are those of Aitchison.

    Arguments:
        parts: Compositions, positive, shape ``(..., part)``.

    Returns:
        Shape of ``parts``; each row sums to zero.
    """
    logarithm = torch.log(parts)
    return logarithm - logarithm.mean(-1, keepdim=True)


def aitchison_summary(compositions: Compositions) -> xr.Dataset:
    """Return centre, variation matrix and total variance of compositions.

    Arguments:
        compositions: Two or more independent compositions.

    Returns:
        Dataset with dimensions ``part`` and ``other``: ``centre``, ``variation`` and ``total_variance``, each with a
        ``_standard_error`` from the scatter over rows (to first order).

    Raises:
        ValueError: If there are fewer than two rows.
    """
    n = len(compositions)
    if n < 2:
        raise ValueError(f"`compositions` must be two or more rows; got {n}.")
    ratios = centred_log_ratios(compositions.parts).numpy()
    mean = ratios.mean(0)
    weights = np.exp(mean)
    centre = weights / weights.sum()
    away = ratios - mean
    # What each row adds to a variance, whose mean over rows is the variance.
    pairs = np.square(away[:, :, None] - away[:, None, :]) * (n / (n - 1))
    total = np.square(away).sum(1) * (n / (n - 1))
    moved = (away - away @ centre[:, None]) * centre  # of the closed centre by each row's log-ratios
    values = {
        "centre": ("part", centre, moved),
        "variation": (("part", "other"), pairs.mean(0), pairs),
        "total_variance": ((), total.mean(0), total),
    }
    variables = {}
    for name, (dimensions, value, rows) in values.items():
        title = name.replace("_", " ")
        variables[name] = (dimensions, value, {"long_name": title, "units": "1"})
        error = rows.std(0, ddof=1) / np.sqrt(n)
        variables[f"{name}_standard_error"] = (dimensions, error, {"long_name": f"standard error of {title}"})
    names = list(compositions.names)
    return xr.Dataset(variables, {"part": names, "other": names}, {"rows": n})
