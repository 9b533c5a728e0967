r"""Coordinates in which samples have mean zero and covariance one.

.. math:: z = L^{-1} (x - \mu), \qquad L L^T = \Sigma, \qquad s_x = L^{-T} s_z
"""

import dataclasses

import torch
from torch import Tensor

from physcore.errors import NumericalError

__all__ = ["Whitening"]


@dataclasses.dataclass(frozen=True)
class Whitening:
    r"""Mean and spread of samples.

    Arguments:
        mean: Mean :math:`\mu`, shape ``(component,)``.
        factor: Lower Cholesky factor :math:`L` of the covariance, shape ``(component, component)``.
    """

    mean: Tensor
    factor: Tensor

    @classmethod
    def of(cls, samples: Tensor) -> "Whitening":
        """Return mean and spread of samples, shape ``(sample, component)``.

        Raises:
            NumericalError: If the samples lie in a subspace, as too few do.
        """
        factor, failed = torch.linalg.cholesky_ex(torch.cov(samples.T).reshape(samples.shape[-1], samples.shape[-1]))
        if failed:
            raise NumericalError(
                f"the {len(samples)} samples do not spread over all {samples.shape[-1]} components; use more paths or "
                "a later time."
            )
        return cls(samples.mean(0), factor)

    def whitened(self, points: Tensor) -> Tensor:
        """Return points in the coordinates, shape ``(point, component)``."""
        solved: Tensor = torch.linalg.solve_triangular(self.factor, (points - self.mean).T, upper=False)
        return solved.T

    def score(self, whitened: Tensor) -> Tensor:
        """Return scores of the points themselves from those in the coordinates, shape ``(point, component)``."""
        solved: Tensor = torch.linalg.solve_triangular(self.factor.T, whitened.T, upper=True)
        return solved.T
