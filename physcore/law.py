r"""Probability laws with a density and a score.

.. math:: s(x) = \nabla_x \log q(x)

The Gaussian law serves as initial law, as exact marginal of linear processes and as a null model.
"""

import dataclasses
import math

import torch
from torch import Tensor

__all__ = ["Gaussian"]

FEW = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gaussian:
    r"""The Gaussian law :math:`N(\mu, \Sigma)`, or a batch of them.

    Arguments:
        mean: Mean :math:`\mu`, shape ``(..., component)``.
        covariance: Covariance :math:`\Sigma`, shape ``(..., component, component)``, positive definite.

    Raises:
        ValueError: If the shapes disagree or a covariance is not positive definite.
    """

    mean: Tensor
    covariance: Tensor

    def __post_init__(self) -> None:
        d = self.mean.shape[-1]
        if self.covariance.shape[-2:] != (d, d):
            raise ValueError(f"`covariance` must end in ({d}, {d}); got {tuple(self.covariance.shape)}.")
        factor, failed = torch.linalg.cholesky_ex(self.covariance)
        if failed.any():
            lowest = torch.linalg.eigvalsh(self.covariance).min().item()
            raise ValueError(f"`covariance` must be positive definite; its lowest eigenvalue is {lowest:.3g}.")
        object.__setattr__(self, "_factor", factor)

    @property
    def factor(self) -> Tensor:
        r"""Lower Cholesky factor :math:`L` of the covariance, shape ``(..., component, component)``."""
        factor: Tensor = self._factor  # type: ignore[attr-defined]
        return factor

    def log_density(self, state: Tensor) -> Tensor:
        r"""Return :math:`\log q(x)`.

        Arguments:
            state: Points, shape ``(..., component)``.

        Returns:
            Shape ``(...)``.
        """
        factor = self.factor
        white = torch.linalg.solve_triangular(factor, (state - self.mean).unsqueeze(-1), upper=False).squeeze(-1)
        log_determinant = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        density: Tensor = -0.5 * (white.square().sum(-1) + log_determinant + state.shape[-1] * math.log(2 * math.pi))
        return density

    def score(self, state: Tensor) -> Tensor:
        r"""Return the score :math:`-\Sigma^{-1}(x - \mu)`.

        Arguments:
            state: Points, shape ``(..., component)``.

        Returns:
            Shape of ``state``, units 1 / [state].
        """
        solved: Tensor = torch.cholesky_solve((state - self.mean).unsqueeze(-1), self.factor).squeeze(-1)
        return -solved

    def sample(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw independent points.

        Arguments:
            paths: Number of points.
            generator: Source of randomness.

        Returns:
            Shape ``(paths, component)``.

        Raises:
            ValueError: If the law is a batch of laws.
        """
        if self.mean.ndim != 1:
            raise ValueError("`sample` draws from one law; this is a batch of them.")
        white = torch.randn(
            paths, self.mean.shape[0], generator=generator, dtype=self.mean.dtype, device=self.mean.device
        )
        if self.mean.shape[0] > FEW:
            return self.mean + white @ self.factor.mT
        # For a few components a matrix product costs more in the waking of its threads than in its work.
        points = self.mean.expand(paths, -1)
        for column, axis in zip(self.factor.T, white.T, strict=True):
            points = torch.addcmul(points, axis.unsqueeze(-1), column)
        return points
