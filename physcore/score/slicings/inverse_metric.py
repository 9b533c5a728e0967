r"""A root of the inverse of a metric.

.. math:: m m^T = G(x)^{-1}, \qquad m = L^{-T}, \quad G = L L^T

Diffusion score matching with it measures differences of scores by the metric,
:math:`\tfrac12 |\nabla_G \log (p / q)|_G^2` with the Riemannian gradient :math:`\nabla_G = G^{-1} \nabla`.

Source: derived; the interpretation is that of Gong and Li, Interpreting diffusion score matching using normalizing
flow (2021), where the metric is that of a map, :math:`G = J^T J`.
"""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from physcore.score.slicings.diffusion_matrix import DiffusionMatrix

__all__ = ["InverseMetric"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class InverseMetric(DiffusionMatrix):
    """A metric, which only Python can give; derivatives are by autodiff.

    Arguments:
        metric: :math:`G`, differentiable, from points ``(..., component)`` to symmetric, positive definite matrices
            ``(..., component, component)``, each point by itself.
    """

    metric: Callable[[Tensor], Tensor]

    def multiply(self, state: Tensor, vector: Tensor) -> Tensor:
        """Return the product with the root; see ``DiffusionMatrix.multiply``.

        Raises:
            ValueError: If the metric is not positive definite, or of another shape.
        """
        return _solved(self._factor(state).mT, vector, upper=True)

    def transposed(self, state: Tensor, covector: Tensor) -> Tensor:
        """Return the product with the transposed root; see ``DiffusionMatrix.transposed``."""
        return _solved(self._factor(state), covector, upper=False)

    def _factor(self, state: Tensor) -> Tensor:
        metric, wanted = self.metric(state), (*state.shape, state.shape[-1])
        if metric.shape != wanted:
            raise ValueError(f"`metric` must return shape {wanted}; got {tuple(metric.shape)}.")
        factor: Tensor
        factor, failed = torch.linalg.cholesky_ex(metric)
        if failed.any():
            place = tuple(failed.nonzero()[0].tolist())
            raise ValueError(f"`metric` must be positive definite; it is not at index {place}.")
        return factor


def _solved(factor: Tensor, vector: Tensor, *, upper: bool) -> Tensor:
    solved: Tensor = torch.linalg.solve_triangular(factor, vector.unsqueeze(-1), upper=upper).squeeze(-1)
    return solved
