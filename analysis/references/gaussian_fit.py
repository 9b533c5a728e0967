r"""The score of the Gaussian with the samples' mean and covariance.

.. math:: s(x) = -\Sigma^{-1} (x - \mu)

What a method knows that knows the first two moments: the null model of every other.

Source: Kay, Fundamentals of Statistical Signal Processing: Estimation Theory (1993), example 7.12.
"""

from analysis.references.sampled import SampledReference
from analysis.references.samples.gaussian_sum import GaussianSum
from analysis.references.samples.whitening import Whitening

__all__ = ["GaussianFit"]


class GaussianFit(SampledReference):
    """The Gaussian with mean and covariance of the simulated states.

    Error:
        Not known unless the law is Gaussian, where it is of the order of 1 / N.

    Source: see the module.
    """

    def learn(self, time: float) -> GaussianSum:
        """Return the Gaussian at a saved time."""
        whitening = Whitening.of(self.states(time))
        return GaussianSum(whitening.mean.unsqueeze(0), whitening.factor.unsqueeze(-1))
