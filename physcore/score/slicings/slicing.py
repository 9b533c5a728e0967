r"""The contract of random fields along which scores are compared.

.. math:: M(x) = E_w[w w^T], \qquad \operatorname{div}(w w^T) = (w \cdot \nabla) w + (\operatorname{div} w)\,w, \qquad
          (\operatorname{div} M)_i = \sum_j \partial_j M_{ij} = E_w[\operatorname{div}(w w^T)]_i

Fields :math:`w(x)` are drawn independently of what is learned, one for each point. With a constant :math:`w` they are
the projections of sliced score matching; with :math:`w = \nabla v` those of a nonlinear map :math:`v`, for which
:math:`\operatorname{div}(w w^T) = H_v \nabla v + (\Delta v) \nabla v`.

Source: Robbins, Score Change of Variables (2024), for projections that are not linear; this form is derived.
"""

import abc
from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor

from physcore.score.lags import Pilot
from physcore.transform import derivatives

__all__ = ["Slicing", "SlicingField"]


class SlicingField(abc.ABC):
    """One field :math:`w` for each of some points, drawn; subclasses write ``value``, and what they know beside it."""

    @abc.abstractmethod
    def value(self, state: Tensor) -> Tensor:
        r"""Return :math:`w(x)`.

        Arguments:
            state: Points :math:`x`, shape ``(..., component)``, broadcastable with those the field was drawn for.

        Returns:
            Shape of the points, here and below.
        """

    def divergence(self, state: Tensor) -> Tensor:
        r"""Return :math:`\operatorname{div} w`, shape ``(...)``, by one derivative for each component."""
        total = torch.zeros_like(state[..., 0])
        for i, axis in enumerate(torch.eye(state.shape[-1], dtype=state.dtype, device=state.device)):
            total = total + derivatives.pull(self.value, state, axis)[..., i]
        return total

    def advection(self, state: Tensor) -> Tensor:
        r"""Return :math:`(w \cdot \nabla) w`, by autodiff; for a gradient, :math:`H_v \nabla v`."""
        return derivatives.push(self.value, state, self.value(state).detach())

    def outer_divergence(self, state: Tensor) -> Tensor:
        r"""Return :math:`\operatorname{div}(w w^T)`, which meets the score in sliced objectives."""
        return self.advection(state) + self.divergence(state).unsqueeze(-1) * self.value(state)


class Slicing(abc.ABC):
    """A law of random fields; subclasses write ``draw``, and the second moment where its closed form is known."""

    group: ClassVar[str] = "physcore.slicings"
    known_second_moment: ClassVar[bool] = False  # whether the two methods below that tell it are written

    @abc.abstractmethod
    def draw(self, like: Tensor, generator: torch.Generator) -> SlicingField:
        """Return random fields, one for each point.

        Arguments:
            like: Points, shape ``(..., component)``; their shape, dtype and device are used.
            generator: Source of randomness.
        """

    def second_moment(self, state: Tensor, vector: Tensor) -> Tensor:
        r"""Return :math:`M(x)\,u`.

        Arguments:
            state: Points :math:`x`, shape ``(..., component)``.
            vector: :math:`u`, broadcastable with ``state``.

        Returns:
            Broadcast shape.

        Raises:
            NotImplementedError: If it is not known.
        """
        raise NotImplementedError(f"{type(self).__name__} knows no second moment of its fields.")

    def second_moment_divergence(self, state: Tensor) -> Tensor:
        r"""Return :math:`\operatorname{div} M`.

        Arguments:
            state: Points :math:`x`, shape ``(..., component)``.

        Returns:
            Shape of ``state``.

        Raises:
            NotImplementedError: If it is not known.
        """
        raise NotImplementedError(f"{type(self).__name__} knows no second moment of its fields.")

    def fitted(self, pilot: Pilot) -> Self:
        """Return the slicing with all that it measures known; itself when there is nothing to measure.

        Arguments:
            pilot: Simulated states.
        """
        return self

    def restricted(self, components: Sequence[int]) -> Self:
        """Return the slicing of some components by themselves; itself where all are treated alike.

        Arguments:
            components: Indices of the components that are left.
        """
        return self
