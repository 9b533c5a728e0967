"""Fixed random directions, the projections of sliced score matching."""

import dataclasses

import numpy as np
import torch
from torch import Tensor

from physcore.score.probes import Probes, drawn_probes
from physcore.score.slicings.diffusion_matrix import DiffusionMatrix
from physcore.score.slicings.slicing import SlicingField

__all__ = ["LinearField", "LinearProjection"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearField(SlicingField):
    r"""The constant field :math:`w = a`, the gradient of :math:`v = a \cdot x`.

    Arguments:
        direction: :math:`a`, shape ``(..., component)``.
    """

    direction: Tensor

    def value(self, state: Tensor) -> Tensor:
        """Return the direction; see ``SlicingField.value``."""
        return self.direction.expand(np.broadcast_shapes(self.direction.shape, state.shape))

    def divergence(self, state: Tensor) -> Tensor:
        """Return zero; see ``SlicingField.divergence``."""
        return torch.zeros_like(state[..., 0])

    def advection(self, state: Tensor) -> Tensor:
        """Return zero; see ``SlicingField.advection``."""
        return torch.zeros_like(state)

    def outer_divergence(self, state: Tensor) -> Tensor:
        """Return zero; see ``SlicingField.outer_divergence``."""
        return torch.zeros_like(state)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearProjection(DiffusionMatrix):
    r"""Linear projections, :math:`m = 1`, of which score matching and its slices are made.

    Arguments:
        directions: Law of the directions, of unit covariance.

    Source: Song, Garg, Shi and Ermon, Sliced score matching: a scalable approach to density and score estimation
        (2019).
    """

    directions: Probes = "rademacher"

    def draw(self, like: Tensor, generator: torch.Generator) -> SlicingField:
        """Return random directions; see ``Slicing.draw``."""
        return LinearField(direction=drawn_probes(self.directions, like, generator))

    def field(self, signs: Tensor) -> SlicingField:
        """Return given directions as fields; see ``DiffusionMatrix.field``."""
        return LinearField(direction=signs)

    def multiply(self, state: Tensor, vector: Tensor) -> Tensor:
        """Return the vectors themselves; see ``DiffusionMatrix.multiply``."""
        return vector.expand(np.broadcast_shapes(vector.shape, state.shape))

    def transposed(self, state: Tensor, covector: Tensor) -> Tensor:
        """Return the vectors themselves; see ``DiffusionMatrix.transposed``."""
        return self.multiply(state, covector)

    def second_moment_divergence(self, state: Tensor) -> Tensor:
        """Return zero; see ``Slicing.second_moment_divergence``."""
        return torch.zeros_like(state)
