"""Transitions of components that each move by themselves: nothing larger than a state is held."""

import dataclasses

import torch
from torch import Tensor

from physcore.errors import NumericalError
from physcore.score.transitions.gaussian import LocalTransition

__all__ = ["ComponentwiseTransition"]


@dataclasses.dataclass(frozen=True)
class ComponentwiseTransition(LocalTransition):
    """Transitions with independent components; see ``LocalTransition``.

    Arguments:
        mean: Means, shape ``(d, batch)``.
        width: Standard deviations, shape ``(d, batch)``.
    """

    mean: Tensor
    width: Tensor

    @classmethod
    def of_variance(cls, mean: Tensor, variance: Tensor) -> "ComponentwiseTransition":
        """Return transitions of variances of shape ``(d, batch)``.

        Raises:
            NumericalError: If a variance is not positive.
        """
        failed = int((~(variance > 0)).any(0).count_nonzero())
        if failed:
            raise NumericalError(
                f"{failed} of {variance.shape[-1]} local variances are not positive in {variance.dtype}: noise does "
                "not reach every component within the lag, or the lag is too short for this precision."
            )
        return cls(mean, variance.sqrt())

    @property
    def factor(self) -> Tensor:
        """Diagonal matrices of the standard deviations, shape ``(d, d, batch)``."""
        return torch.diag_embed(self.width.T).permute(1, 2, 0)

    def state(self, noise: Tensor) -> Tensor:
        """Return points, shape ``(batch, d)``; see ``LocalTransition.state``."""
        return torch.addcmul(self.mean, self.width, noise).T

    def score(self, noise: Tensor) -> Tensor:
        """Return scores, shape ``(batch, d)``; see ``LocalTransition.score``."""
        return -(noise / self.width).T
