r"""Goodness of fit of a score to samples by a kernel Stein discrepancy.

.. math:: U = \frac1{n (n - 1)} \sum_{i \neq j} u(x_i, x_j), \qquad V = \frac1{n^2} \sum_{ij} u(x_i, x_j), \qquad
          \sigma_U^2 = \frac4n \operatorname{Var}(\bar u_i) - \frac{2}{n^2}\,\overline{u^2}, \qquad
          \bar u_i = \frac1{n - 1} \sum_{j \neq i} u(x_i, x_j)

Both estimate the squared discrepancy, U without bias. With signs for multipliers the diagonal is the same in every
replicate of V, so that U and V give the same probability. Where the score is right U is degenerate: its law is no
normal one, and of order 1 / n; what is subtracted from the variance makes it right there too. Along paths, where pairs
near in time are alike, the mean of the replicates is subtracted from V instead of its diagonal.

Source: Liu, Lee and Jordan, A kernelized Stein discrepancy for goodness-of-fit tests (2016), for U; Chwialkowski,
Strathmann and Gretton, A kernel test of goodness of fit (2016), for V and the bootstrap; Serfling, Approximation
theorems of mathematical statistics (1980), section 5.2, for the variance; its small terms and the value along paths
are derived.
"""

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from analysis.stein.base_kernels import BaseKernel
from analysis.stein.pair_sums import PairSums, pair_sums
from analysis.stein.stein_kernel import SteinFeatures
from physcore.communicator import Communicator

__all__ = ["SteinTest", "most_powerful", "stein_test"]

REGULARIZATION = 1e-8  # of the variance in the ratio that tells power


@dataclasses.dataclass(frozen=True)
class SteinTest:
    """A squared kernel Stein discrepancy with its test.

    Arguments:
        value: The U-statistic, of correlated samples its like; negative about as often as not where the score is
            right.
        standard_error: Its standard error.
        v_statistic: The V-statistic, never negative.
        p_value: Probability of a discrepancy as large where the score is right, by the bootstrap; NaN without one.
        bootstrap: V-statistics as they would be there, shape ``(replicate,)``.
        bandwidth: Bandwidth of the base kernel.
        states: How many states went in.
    """

    value: float
    standard_error: float
    v_statistic: float
    p_value: float
    bootstrap: Tensor
    bandwidth: float
    states: int


TITLES = {
    "value": "squared kernel Stein discrepancy, without bias",
    "standard_error": "standard error of value",
    "v_statistic": "squared kernel Stein discrepancy, never negative",
    "p_value": "probability of as large a discrepancy were the score right",
    "bandwidth": "bandwidth of the base kernel",
    "states": "number of states",
}  # of the numbers of a test


def stein_test(
    features: SteinFeatures,
    kernel: BaseKernel,
    signs: Tensor | None = None,
    *,
    persistence: Tensor | None = None,
    communicator: Communicator | None = None,
) -> SteinTest:
    """Return the discrepancy of samples and the probability of it.

    Arguments:
        features: What the Stein kernel needs of the samples, ``field.features(states, scores)``, three at least.
        kernel: The base kernel; with the median distance for a bandwidth where it has none.
        signs: Multipliers, shape ``(replicate, n)``; no test is made when None.
        persistence: Correlation of the multipliers between frames of a path that follow each other, shape
            ``(frame - 1,)``, where the samples are paths one after the other; they are independent when None.
        communicator: Ranks that share the pairs; serial when None. Every rank returns the same.

    Raises:
        ValueError: If there are fewer than three states, or multipliers do not belong to them.
        NumericalError: If a score or a sum is not finite.

    Error:
        The probability is known to 1 / (replicates + 1), and the level is right for many samples: below some hundred
        the test rejects a little too often or too rarely.
    """
    n = len(features)
    if n < 3:
        raise ValueError(f"a Stein discrepancy needs 3 states at least; got {n}.")
    if signs is not None and (signs.ndim != 2 or signs.shape[1] != n):
        raise ValueError(f"`signs` must have shape (replicate, {n}), one for each state; got {tuple(signs.shape)}.")
    if persistence is not None and n % (len(persistence) + 1):
        raise ValueError(
            f"`persistence` must be of one frame less than a path has, and {n} states are no whole number of paths of "
            f"{len(persistence) + 1} frames."
        )
    chosen = kernel.fitted(features.points)
    sums = pair_sums(features, chosen, signs, communicator)
    total, diagonal = float(sums.rows.sum()), float(sums.diagonal.sum())
    bootstrap = (sums.signed + diagonal) / n**2
    v_statistic = (total + diagonal) / n**2
    larger = int((bootstrap >= v_statistic).sum())
    value = total / (n * (n - 1))
    if persistence is not None and len(bootstrap):
        value = (v_statistic - float(bootstrap.mean())) / (1 - _paired(persistence) / n)
    return SteinTest(
        value=value,
        standard_error=math.sqrt(_variance(sums, n, persistence)),
        v_statistic=v_statistic,
        p_value=(1 + larger) / (1 + len(bootstrap)) if len(bootstrap) else math.nan,
        bootstrap=bootstrap,
        bandwidth=chosen.length,
        states=n,
    )


def most_powerful(
    features: Sequence[SteinFeatures], kernels: Sequence[BaseKernel], communicator: Communicator | None = None
) -> int:
    r"""Return which of some discrepancies has the largest ratio :math:`U / \sigma_{H_1}`, which tells power.

    To be asked of samples that the test itself does not see.

    Arguments:
        features: Features of the same samples, one for each discrepancy.
        kernels: Their base kernels.
        communicator: Ranks that share the pairs; serial when None.

    Source:
        Sutherland et al., Generative models and model criticism via optimized maximum mean discrepancy (2017), for the
        ratio; Jitkrittum et al., A linear-time kernel goodness-of-fit test (2017), for Stein discrepancies.
    """
    ratios = []
    for one, kernel in zip(features, kernels, strict=True):
        n = len(one)
        sums = pair_sums(one, kernel.fitted(one.points), None, communicator)
        means = (sums.rows + sums.diagonal) / n
        size = float(sums.diagonal.mean()) ** 2
        spread = math.sqrt(4 * float(means.var(correction=0)) + REGULARIZATION * size)
        ratios.append(float(sums.rows.sum()) / (n * (n - 1)) / spread)
    return max(range(len(ratios)), key=ratios.__getitem__)


def _paired(persistence: Tensor) -> float:
    """Return the mean over frames of the sum of the correlations of multipliers with all frames of their path."""
    total = float(len(persistence) + 1)
    carried = 0.0
    for kept in persistence.tolist():
        carried = kept * (carried + 1)
        total += 2 * carried
    return total / (len(persistence) + 1)


def _variance(sums: PairSums, n: int, persistence: Tensor | None) -> float:
    """Return the variance of the U-statistic."""
    means = sums.rows / (n - 1)
    apart = means - means.mean()
    if persistence is None:
        first = 4 * float(apart.square().sum()) / (n * (n - 1))
        # The means of rows are noisy themselves, by twice the variance of a degenerate statistic.
        return max(first - 2 * sums.squares / (n * (n - 1)) / n**2, first / 2)
    frames = apart.reshape(-1, len(persistence) + 1).T
    carried, total = torch.zeros_like(frames[0]), frames.square().sum()
    for before, here, kept in zip(frames[:-1], frames[1:], persistence.tolist(), strict=True):
        carried = kept * (carried + before)
        total = total + 2 * (here * carried).sum()
    return 4 * max(float(total), 0.0) / n**2
