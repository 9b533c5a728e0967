r"""The contract of Gaussian transitions, and the plain form of their covariances: a matrix for each state.

.. math:: y = m + L \varepsilon, \qquad \nabla_y \log N(y; m, P) = -L^{-T} \varepsilon, \qquad P = L L^T
"""

import abc

from torch import Tensor

from physcore.small_matrices import solve_transposed

__all__ = ["DenseTransition", "LocalTransition"]


class LocalTransition(abc.ABC):
    """Gaussian transitions from a batch of states.

    Attributes:
        mean: Means :math:`m`, shape ``(d, batch)``.
        factor: Lower Cholesky factors of the covariances, shape ``(d, d, batch)``, or ``(d, d, 1)`` where one serves
            all. Transitions of a special form make them only if asked.
    """

    mean: Tensor

    @property
    @abc.abstractmethod
    def factor(self) -> Tensor:
        """Lower Cholesky factors, shape ``(d, d, batch)`` or ``(d, d, 1)``."""

    @abc.abstractmethod
    def state(self, noise: Tensor) -> Tensor:
        r"""Return :math:`m + L \varepsilon`, shape ``(batch, d)``, for noise of shape ``(d, batch)``."""

    @abc.abstractmethod
    def score(self, noise: Tensor) -> Tensor:
        r"""Return :math:`-L^{-T} \varepsilon`, shape ``(batch, d)``, for noise of shape ``(d, batch)``."""

    @property
    def covariance(self) -> Tensor:
        """The covariances, shape ``(batch, d, d)``."""
        lower = self.factor.permute(2, 0, 1)
        return (lower @ lower.mT).expand(self.mean.shape[-1], -1, -1)


class DenseTransition(LocalTransition):
    """Transitions with a Cholesky factor each; see ``LocalTransition``.

    Arguments:
        mean: Means, shape ``(d, batch)``.
        factor: Lower Cholesky factors, shape ``(d, d, batch)``, or ``(d, d, 1)`` where one serves all.
    """

    def __init__(self, mean: Tensor, factor: Tensor) -> None:
        self.mean = mean
        self._factor = factor

    @property
    def factor(self) -> Tensor:
        """Lower Cholesky factors, shape ``(d, d, batch)`` or ``(d, d, 1)``."""
        return self._factor

    def state(self, noise: Tensor) -> Tensor:
        """Return points, shape ``(batch, d)``; see ``LocalTransition.state``."""
        return (self.mean + (self.factor * noise.unsqueeze(0)).sum(1)).T

    def score(self, noise: Tensor) -> Tensor:
        """Return scores, shape ``(batch, d)``; see ``LocalTransition.score``."""
        return -solve_transposed(self.factor, noise).T
