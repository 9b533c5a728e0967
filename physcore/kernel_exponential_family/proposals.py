r"""Laws to draw importance samples from.

.. math:: q(x) = \pi_0 N(x; 0, \sigma_0^2 1) + \frac{1 - \pi_0}{K L} \sum_{k l} N(x; c_k, h_l^2 1)

A density in many dimensions that has learned narrow ridges is seldom met by a broad Gaussian: a few samples carry all
weight, and the normaliser comes out too small more often than not. Kernels about the samples the density was learned
from lie where the density does, several widths :math:`h_l` of them since its thickness is not known, and the broad part
keeps the weights bounded.

Source: Hesterberg, Weighted average importance sampling and defensive mixture distributions (1995); the kernels are
derived.
"""

import dataclasses
import math
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["DefensiveMixture", "IsotropicGaussian", "Proposal"]


class Proposal(Protocol):
    """A law that can be drawn from, with its density."""

    def sample(self, paths: int, generator: torch.Generator) -> Tensor:
        """Return independent points, shape ``(path, component)``, float64.

        Arguments:
            paths: How many.
            generator: Source of randomness.
        """

    def log_density(self, state: Tensor) -> Tensor:
        """Return the log density, shape ``(path,)``.

        Arguments:
            state: Points, shape ``(path, component)``.
        """


@dataclasses.dataclass(frozen=True, kw_only=True)
class IsotropicGaussian:
    r"""The law :math:`N(0, \sigma^2 1)`.

    Arguments:
        dimension: Number of components.
        width: :math:`\sigma`, in units of the state.

    Raises:
        ValueError: If the width is not positive and finite.
    """

    dimension: int
    width: float = 2.0

    def __post_init__(self) -> None:
        if not (self.width > 0 and math.isfinite(self.width)):
            raise ValueError(f"`width` must be positive and finite; got {self.width}.")

    def sample(self, paths: int, generator: torch.Generator) -> Tensor:
        """Return independent points; see ``Proposal.sample``."""
        shape = (paths, self.dimension)
        return self.width * torch.randn(shape, generator=generator, dtype=torch.float64, device=generator.device)

    def log_density(self, state: Tensor) -> Tensor:
        """Return the log density; see ``Proposal.log_density``."""
        return -0.5 * state.square().sum(-1) / self.width**2 - _log_norm(self.dimension, self.width)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DefensiveMixture:
    r"""Kernels of several widths about points, and a broad Gaussian beside them.

    Arguments:
        centres: :math:`c_k`, shape ``(centre, component)``; a thousand cost as much as the density.
        widths: :math:`h_l`, in units of the state.
        broad: The broad part.
        broad_share: :math:`\pi_0`.

    Raises:
        ValueError: If a width is not positive, the share is not between 0 and 1, or there is no centre.
    """

    centres: Tensor
    broad: IsotropicGaussian
    widths: tuple[float, ...] = (0.2, 0.4, 0.8)
    broad_share: float = 0.1

    def __post_init__(self) -> None:
        if not self.widths or not all(width > 0 and math.isfinite(width) for width in self.widths):
            raise ValueError(f"`widths` must be positive and finite, at least one; got {self.widths}.")
        if not 0 < self.broad_share < 1:
            raise ValueError(f"`broad_share` must be between 0 and 1; got {self.broad_share}.")
        if self.centres.ndim != 2 or not len(self.centres) or self.centres.shape[1] != self.broad.dimension:
            raise ValueError(
                f"`centres` must have shape (centre, {self.broad.dimension}); got {tuple(self.centres.shape)}."
            )

    def sample(self, paths: int, generator: torch.Generator) -> Tensor:
        """Return independent points; see ``Proposal.sample``."""
        wide = self.broad.sample(paths, generator)
        device = wide.device

        def index(count: int) -> Tensor:
            return torch.randint(count, (paths,), generator=generator, device=device)

        width = torch.tensor(self.widths, dtype=torch.float64, device=device)[index(len(self.widths))].unsqueeze(-1)
        near = self.centres.double()[index(len(self.centres))] + width * wide / self.broad.width
        chosen = torch.rand(paths, generator=generator, device=device) < self.broad_share
        return torch.where(chosen.unsqueeze(-1), wide, near)

    def log_density(self, state: Tensor) -> Tensor:
        """Return the log density; see ``Proposal.log_density``."""
        squares, d = torch.cdist(state, self.centres.to(state)).square(), self.broad.dimension
        share = math.log((1 - self.broad_share) / (len(self.widths) * len(self.centres)))
        parts = [torch.logsumexp(-0.5 * squares / width**2, -1) + share - _log_norm(d, width) for width in self.widths]
        parts.append(self.broad.log_density(state) + math.log(self.broad_share))
        return torch.logsumexp(torch.stack(parts), 0)


def _log_norm(dimension: int, width: float) -> float:
    return 0.5 * dimension * math.log(2 * math.pi * width**2)
