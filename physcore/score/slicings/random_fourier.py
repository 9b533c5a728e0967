r"""Random waves.

.. math:: v = \frac{\sqrt 2}{\gamma} \cos\theta, \quad \theta = \gamma\,a \cdot x + b, \qquad
          w = -\sqrt 2\,\sin\theta\,a, \qquad M = 1, \qquad
          \operatorname{div}(w w^T) = 2 \gamma |a|^2 \sin(2 \theta)\,a

with directions :math:`a` of unit covariance and a phase :math:`b` uniform on the circle. The population objective is
that of plain score matching; its variance grows with :math:`\gamma n` in :math:`n` dimensions.

Source: derived; the features are those of Rahimi and Recht, Random features for large-scale kernel machines (2007).
"""

import dataclasses
import math

import numpy as np
import torch
from torch import Tensor

from physcore.score.probes import Probes, drawn_probes
from physcore.score.slicings.slicing import Slicing, SlicingField

__all__ = ["FourierField", "RandomFourier"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FourierField(SlicingField):
    r"""The gradient of a wave.

    Arguments:
        direction: :math:`a`, shape ``(..., component)``.
        phase: :math:`b`, shape ``(...)``.
        frequency: :math:`\gamma`, in units of 1 / [x].
    """

    direction: Tensor
    phase: Tensor
    frequency: float

    def value(self, state: Tensor) -> Tensor:
        """Return the field; see ``SlicingField.value``."""
        return (-math.sqrt(2) * torch.sin(self._angle(state))).unsqueeze(-1) * self.direction

    def divergence(self, state: Tensor) -> Tensor:
        r"""Return :math:`-\sqrt 2 \gamma |a|^2 \cos\theta`; see ``SlicingField.divergence``."""
        return -math.sqrt(2) * self._steepness * torch.cos(self._angle(state))

    def advection(self, state: Tensor) -> Tensor:
        r"""Return :math:`\gamma |a|^2 \sin(2 \theta)\,a`; see ``SlicingField.advection``."""
        return (self._steepness * torch.sin(2 * self._angle(state))).unsqueeze(-1) * self.direction

    def outer_divergence(self, state: Tensor) -> Tensor:
        """Return twice the advection; see ``SlicingField.outer_divergence``."""
        return 2 * self.advection(state)

    @property
    def _steepness(self) -> Tensor:
        return self.frequency * self.direction.square().sum(-1)

    def _angle(self, state: Tensor) -> Tensor:
        return self.frequency * (self.direction * state).sum(-1) + self.phase


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomFourier(Slicing):
    r"""Projections on random waves.

    Arguments:
        frequency: :math:`\gamma`, in units of 1 / [x]; the smaller, the nearer to linear projections of random length.
        directions: Law of the directions :math:`a`.

    Raises:
        ValueError: If the frequency is not positive and finite.
    """

    known_second_moment = True

    frequency: float = 0.1
    directions: Probes = "rademacher"

    def __post_init__(self) -> None:
        if not (self.frequency > 0 and math.isfinite(self.frequency)):
            raise ValueError(f"`frequency` must be positive and finite; got {self.frequency}.")

    def draw(self, like: Tensor, generator: torch.Generator) -> FourierField:
        """Return random waves; see ``Slicing.draw``."""
        direction = drawn_probes(self.directions, like, generator)
        turns = torch.rand(like.shape[:-1], generator=generator, dtype=like.dtype, device=like.device)
        return FourierField(direction=direction, phase=2 * math.pi * turns, frequency=self.frequency)

    def second_moment(self, state: Tensor, vector: Tensor) -> Tensor:
        """Return the vectors themselves; see ``Slicing.second_moment``."""
        return vector.expand(np.broadcast_shapes(vector.shape, state.shape))

    def second_moment_divergence(self, state: Tensor) -> Tensor:
        """Return zero; see ``Slicing.second_moment_divergence``."""
        return torch.zeros_like(state)
