r"""The score of a Gaussian kernel density estimate.

.. math:: \hat q(x) = \frac1N \sum_n N(x; x_n, h^2 \Sigma), \qquad s = \nabla \log \hat q,

with the samples' covariance :math:`\Sigma` and the bandwidth :math:`h` that cross-validation finds best for the score.
Libraries of kernel densities give the density alone.

Source: Silverman, Density Estimation for Statistics and Data Analysis (1986), section 4.2.1.
"""

import math

import xarray as xr

from analysis.references.sampled import SampledReference
from analysis.references.samples.bandwidth import cross_validated_bandwidth
from analysis.references.samples.gaussian_sum import GaussianSum
from analysis.references.samples.whitening import Whitening
from physcore.process import Process

__all__ = ["KernelDensity"]


class KernelDensity(SampledReference):
    """A Gaussian about every simulated state, all of the shape of the samples' covariance.

    Arguments:
        process: The process.
        trajectories: Simulated paths, dimensions ``path`` and ``time``; without them nothing can be estimated.
        bandwidth: Width of the kernels in standard deviations of the samples; cross-validated at each time when None.
        paths: How many of the paths to use, the first; all when None.

    Raises:
        ValueError: If ``bandwidth`` is not positive and finite, or ``paths`` are too few.

    Error:
        Not known. Of a smooth density the relative squared error falls as N^(-4 / (d + 6)); a thin ridge is smeared
        out: on the active swimmer 200,000 samples leave a quarter.

    Source: see the module.
    """

    def __init__(
        self,
        process: Process,
        trajectories: xr.Dataset | None = None,
        *,
        bandwidth: float | None = None,
        paths: int | None = None,
    ) -> None:
        super().__init__(process, trajectories, paths=paths)
        if bandwidth is not None and not (bandwidth > 0 and math.isfinite(bandwidth)):
            raise ValueError(f"`bandwidth` must be positive and finite; got {bandwidth}.")
        self.bandwidth = bandwidth

    @property
    def options(self) -> dict[str, object]:
        """The options by name; see ``SampledReference.options``."""
        return {"bandwidth": self.bandwidth, "paths": self.paths}

    def learn(self, time: float) -> GaussianSum:
        """Return the density estimate at a saved time."""
        states = self.states(time)
        whitening = Whitening.of(states)
        width = self.bandwidth or cross_validated_bandwidth(whitening.whitened(states))
        return GaussianSum(states, (width * whitening.factor).unsqueeze(-1))
