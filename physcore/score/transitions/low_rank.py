"""Transitions whose covariance is a multiple of the identity but for a few directions."""

import dataclasses

from torch import Tensor

from physcore.low_rank import IdentityPlusLowRank
from physcore.score.transitions.gaussian import LocalTransition
from physcore.small_matrices import cholesky

__all__ = ["LowRankTransition"]


@dataclasses.dataclass(frozen=True)
class LowRankTransition(LocalTransition):
    """Transitions with the symmetric root of such a covariance in place of a Cholesky factor; see ``LocalTransition``.

    Arguments:
        mean: Means, shape ``(d, batch)``.
        spread: Covariances.
    """

    mean: Tensor
    spread: IdentityPlusLowRank

    @property
    def factor(self) -> Tensor:
        """Lower Cholesky factors, shape ``(d, d, batch)``; not the roots that noise is multiplied with."""
        return cholesky(self.spread.dense().permute(1, 2, 0))

    @property
    def covariance(self) -> Tensor:
        """The covariances, shape ``(batch, d, d)``."""
        return self.spread.dense()

    def state(self, noise: Tensor) -> Tensor:
        """Return points, shape ``(batch, d)``; see ``LocalTransition.state``."""
        return self.mean.T + self.spread.with_spectrum(self.spread.spectrum.sqrt()).apply(noise.T)

    def score(self, noise: Tensor) -> Tensor:
        """Return scores, shape ``(batch, d)``; see ``LocalTransition.score``."""
        return -self.spread.with_spectrum(self.spread.spectrum.rsqrt()).apply(noise.T)
