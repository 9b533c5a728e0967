r"""The score of a mixture of Gaussians fitted to samples.

.. math:: \hat q(x) = \sum_k w_k\,N(x; \mu_k, \Sigma_k), \qquad s = \nabla \log \hat q

Source: McLachlan and Peel, Finite Mixture Models (2000), chapter 3; the number of Gaussians by the density of samples
left out: Smyth, Model selection for probabilistic clustering using cross-validated likelihood (2000).
"""

import xarray as xr
from torch import Tensor

from analysis.references.sampled import SampledReference
from analysis.references.samples.expectation_maximization import Mixture, fitted_mixture
from analysis.references.samples.gaussian_sum import GaussianSum
from analysis.references.samples.whitening import Whitening
from physcore.process import Process
from physcore.streams import Streams

__all__ = ["GaussianMixtureFit"]

TRIED = 20_000  # samples behind the choice of a number
HELD_OUT = 0.25
GAIN = 1e-3  # of the mean log density, below which twice the number is not worth it
TOLERANCE = 1e-6


class GaussianMixtureFit(SampledReference):
    """A mixture of Gaussians, each with a covariance of its own.

    Arguments:
        process: The process.
        trajectories: Simulated paths, dimensions ``path`` and ``time``; without them nothing can be estimated.
        gaussians: Number of Gaussians; doubled at each time for as long as samples left out gain by it when None.
        most_gaussians: Largest number tried.
        iterations: Iterations at most.
        paths: How many of the paths to use, the first; all when None.

    Raises:
        ValueError: If a number is below 1, or ``paths`` are too few.

    Error:
        Not known. Only a maximum near the start is found.

    Source: see the module.
    """

    def __init__(
        self,
        process: Process,
        trajectories: xr.Dataset | None = None,
        *,
        gaussians: int | None = None,
        most_gaussians: int = 64,
        iterations: int = 200,
        paths: int | None = None,
    ) -> None:
        super().__init__(process, trajectories, paths=paths)
        for name, value in {"gaussians": gaussians, "most_gaussians": most_gaussians, "iterations": iterations}.items():
            if value is not None and value < 1:
                raise ValueError(f"`{name}` must be at least 1; got {value}.")
        self.gaussians = gaussians
        self.most_gaussians = most_gaussians
        self.iterations = iterations

    @property
    def options(self) -> dict[str, object]:
        """The options by name; see ``SampledReference.options``."""
        names = ("gaussians", "most_gaussians", "iterations", "paths")
        return {name: getattr(self, name) for name in names}

    def learn(self, time: float) -> GaussianSum:
        """Return the mixture at a saved time."""
        states = self.states(time)
        whitening = Whitening.of(states)
        points = whitening.whitened(states)
        mixture = self._fitted(points, self.gaussians or self._number(points[:TRIED]))
        factor = (whitening.factor @ mixture.factor.permute(2, 0, 1)).permute(1, 2, 0)
        return GaussianSum(mixture.mean @ whitening.factor.T + whitening.mean, factor, mixture.log_weight)

    def _number(self, points: Tensor) -> int:
        """Return the number of Gaussians that samples left out ask for."""
        first = int(HELD_OUT * len(points))
        best, number, density = 1, 1, -float("inf")
        while number <= self.most_gaussians:
            reached = self._fitted(points[first:], number).mean_log_density(points[:first])
            if reached < density + GAIN:
                break
            best, density, number = number, reached, 2 * number
        return best

    def _fitted(self, points: Tensor, number: int) -> Mixture:
        generator = Streams(0, "references/gaussian-mixture").generator(number)
        return fitted_mixture(points, number, self.iterations, TOLERANCE, generator)
