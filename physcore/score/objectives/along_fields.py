r"""Losses along random fields, or along the columns of a matrix.

.. math:: \ell_w = \tfrac12 (w \cdot s_\theta)^2 + w \cdot \nabla (w \cdot s_\theta)
                   + (\operatorname{div} w)(w \cdot s_\theta), \qquad
          E_w[\ell_w] = \tfrac12 s_\theta^T M s_\theta + \operatorname{tr}(M \nabla s_\theta)
                        + (\operatorname{div} M) \cdot s_\theta, \quad M = E_w[w w^T]

Only the fields' second moment matters in the mean. Where it is known, all but :math:`w^T (\nabla s_\theta)\,w` can be
taken whole. The fields are constants of the fit: implicit losses leave out :math:`\tfrac12 E[s^T M s]` of the data,
which is no constant if :math:`M` is learned.

Source: Robbins, Score Change of Variables (2024), nonlinear projections; the mean, and what it leaves out, are derived.
"""

from collections.abc import Iterable
from typing import TypeVar

import torch
from torch import Tensor

from physcore.score.objectives.implicit import Differentiable
from physcore.score.slicings import Slicing, SlicingField

__all__ = ["along_fields", "learned_slicing", "whole_terms"]

Kind = TypeVar("Kind", bound=Slicing)


def learned_slicing(slicing: Kind, score: Differentiable) -> tuple[Kind, Tensor]:
    """Return a slicing of the learned components, and these of the samples, shape ``(batch, learned component)``.

    Arguments:
        slicing: The slicing, as it was given.
        score: The score at the samples.
    """
    learned = score.learned
    own = slicing if learned.complete else slicing.restricted(learned.indices)
    return own, learned.take(score.state.detach())


def along_fields(score: Differentiable, points: Tensor, fields: Iterable[SlicingField], *, whole: bool) -> Tensor:
    r"""Return the sum over fields of the losses along them.

    Arguments:
        score: The score at the samples, without a weight.
        points: Learned components of the samples, shape ``(batch, learned component)``.
        fields: The fields :math:`w`.
        whole: Whether all but :math:`w^T (\nabla s_\theta)\,w` is left out, for ``whole_terms``.

    Returns:
        Shape ``(batch,)``.

    Raises:
        ValueError: If a field depends on parameters that are trained.
    """
    place, total = score.learned.place, torch.zeros_like(score.state[:, 0])
    for field in fields:
        direction = place(_constant(field, points))
        bending = None if whole else place(field.outer_divergence(points).detach())
        total = total + score.sliced(direction, direction, bending, square=not whole)
    return total


def whole_terms(score: Differentiable, points: Tensor, slicing: Slicing) -> Tensor:
    r"""Return :math:`\tfrac12 s_\theta^T M s_\theta + (\operatorname{div} M) \cdot s_\theta`.

    Arguments:
        score: The score at the samples, without a weight.
        points: Learned components of the samples, shape ``(batch, learned component)``.
        slicing: The law of the fields.

    Returns:
        Shape ``(batch,)``.
    """
    own = score.learned.take(score.applied)
    half = 0.5 * slicing.second_moment(points, own) + slicing.second_moment_divergence(points).detach()
    return (own * half).sum(-1)


def _constant(field: SlicingField, points: Tensor) -> Tensor:
    value = field.value(points)
    if value.requires_grad:
        raise ValueError(
            f"{type(field).__name__} depends on parameters that are trained, and must not: the loss leaves out "
            "E[s^T M s] / 2 of the data, which then depends on them, so that its minimiser is no longer the score. "
            "Fix them beforehand, as by `requires_grad_(False)`."
        )
    return value.expand(points.shape)
