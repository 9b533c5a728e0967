r"""How long samples along a path remember, as a Stein discrepancy sees it.

The Stein kernel of states a lag apart is the covariance of the features whose squared mean is the discrepancy,

.. math:: \rho_k = \frac{\overline{u(x_t, x_{t + k})} - V}{\overline{u(x_t, x_t)} - V}, \qquad
          \tau = \Delta t\,\frac{\sum_k k\,\rho_k}{\tfrac12 + \sum_k \rho_k},

so that signs of memory :math:`\mu` make the replicates too small by :math:`\tau / \mu` of themselves, and
:math:`\mu / t` is the relative variance of their mean over paths of length :math:`t` in all. Together they are smallest
at :math:`\mu = (2 \tau^2 t)^{1/3}`.

Source: derived; the window of the sums: Sokal, Monte Carlo methods in statistical mechanics (1997), section 3.
"""

from torch import Tensor

from analysis.stein.base_kernels import BaseKernel
from analysis.stein.stein_kernel import SteinFeatures, stein_matrix

__all__ = ["chosen_memory"]

WINDOW = 5.0  # correlation times over which the correlation is summed


def chosen_memory(features: SteinFeatures, kernel: BaseKernel, paths: int, mean: float, spacing: float) -> float:
    """Return the memory that signs along paths should have.

    Arguments:
        features: Features of the states, the frames of a path one after the other.
        kernel: The base kernel, with a bandwidth.
        paths: How many paths there are.
        mean: The V-statistic of all.
        spacing: Time between frames.

    Returns:
        The memory in units of time; 0 where nothing is remembered.
    """
    frames = len(features) // paths
    shaped = SteinFeatures(
        _by_paths(features.points, paths),
        _by_paths(features.scores, paths),
        None if features.frames is None else _by_paths(features.frames, paths),
    )
    variance = _covariance(shaped, kernel, 0) - mean
    if not variance > 0:
        return 0.0
    total, weighted = 0.5, 0.0
    for lag in range(1, frames // 2):
        correlation = (_covariance(shaped, kernel, lag) - mean) / variance
        total, weighted = total + correlation, weighted + lag * correlation
        if lag >= WINDOW * total:
            break
    memory = max(weighted, 0.0) / max(total, 0.5)
    return float((2 * memory**2 * len(features)) ** (1 / 3) * spacing)


def _by_paths(values: Tensor, paths: int) -> Tensor:
    return values.reshape(paths, -1, *values.shape[1:])


def _covariance(features: SteinFeatures, kernel: BaseKernel, lag: int) -> float:
    """Return the mean Stein kernel of states of a path some frames apart."""
    frames = features.points.shape[1]
    early, late = (features.part(part).paired() for part in (slice(0, frames - lag), slice(lag, frames)))
    return float(stein_matrix(kernel, early, late).mean())
