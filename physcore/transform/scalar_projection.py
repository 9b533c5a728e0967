r"""The score of a function of the state that cannot be inverted.

For :math:`y = v(x)` with a scalar :math:`v`, and the field :math:`w = \nabla v / |\nabla v|^2`, for which
:math:`w \cdot \nabla v = 1`,

.. math:: \frac{d}{dy} \log q(y) = E\left[w \cdot s + \operatorname{div} w \mid v(X) = y\right], \qquad
          \operatorname{div} w = \frac{\Delta v}{|\nabla v|^2} - \frac{2\,\nabla v^T H_v \nabla v}{|\nabla v|^4} .

The conditional expectation is a regression over samples: each gives a target at its own value. Of a bijection the
target is the score itself.

Source: derived; the conditional expectation is that of Robbins, Score Change of Variables (2024), for maps that are no
bijections. Local linear regression: Fan and Gijbels, Local Polynomial Modelling (1996), section 3.2.
"""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from physcore.transform import derivatives
from physcore.transform.validation import check_score

__all__ = ["ScoreEstimate", "ScoreTargets", "project_score", "score_targets"]

LARGEST_BLOCK = 4_000_000  # weights held at once


@dataclasses.dataclass(frozen=True)
class ScoreTargets:
    """Samples of the projected variable with what their scores average.

    Arguments:
        value: Values :math:`y_i = v(x_i)`, shape ``(...)``.
        target: Targets, whose conditional expectation is the score, shape ``(...)``, units 1 / [y].
    """

    value: Tensor
    target: Tensor


@dataclasses.dataclass(frozen=True)
class ScoreEstimate:
    """An estimated score.

    Arguments:
        value: The score, shape of the points.
        standard_error: Its standard error from the scatter of the targets; the bias of the bandwidth comes on top.
    """

    value: Tensor
    standard_error: Tensor


def score_targets(function: Callable[[Tensor], Tensor], state: Tensor, score: Tensor) -> ScoreTargets:
    r"""Return the targets :math:`w \cdot s + \operatorname{div} w` at samples.

    Arguments:
        function: :math:`v`, from states ``(..., component)`` to numbers ``(...)``, each state by itself, twice
            differentiable.
        state: Samples :math:`x_i`, shape ``(..., component)``.
        score: Score of their law there, shape of ``state``.

    Returns:
        Values and targets.

    Raises:
        ValueError: If the shapes differ, a number is not finite, or the gradient of the function vanishes at a sample.
    """
    check_score(state, score)

    def slope(x: Tensor) -> Tensor:
        return derivatives.gradient(function, x)

    gradient = slope(state)
    square = gradient.square().sum(-1)
    if bool((square == 0).any()):
        place = tuple((square == 0).nonzero()[0].tolist())
        raise ValueError(f"`function` must have a gradient that does not vanish; it does at index {place}.")
    # A Hessian is symmetric: its transposed product is the product, and the cheaper one.
    bend = (gradient * derivatives.pull(slope, state, gradient)).sum(-1)
    laplacian = torch.zeros_like(square)
    for i, axis in enumerate(torch.eye(state.shape[-1], dtype=state.dtype, device=state.device)):
        laplacian = laplacian + derivatives.pull(slope, state, axis)[..., i]
    divergence = laplacian / square - 2 * bend / square.square()
    return ScoreTargets(function(state), (gradient * score).sum(-1) / square + divergence)


def project_score(targets: ScoreTargets, points: Tensor, *, bandwidth: float | None = None) -> ScoreEstimate:
    r"""Return the score of the projected variable by local linear regression of the targets on the values.

    Arguments:
        targets: Samples, at least three.
        points: Where, any shape.
        bandwidth: Standard deviation :math:`h` of the Gaussian weights, in units of the values; the rule of thumb
            :math:`1.06\,\sigma\,n^{-1/5}` when None.

    Returns:
        The score at the points; NaN where no sample is near.

    Raises:
        ValueError: If there are too few samples or the bandwidth is not positive.

    Error:
        Bias h^2 / 2 times the second derivative of the score, plus the standard error.
    """
    value, target = targets.value.reshape(-1).double(), targets.target.reshape(-1).double()
    if len(value) < 3:
        raise ValueError(f"`targets` must hold at least 3 samples; got {len(value)}.")
    if bandwidth is None:
        bandwidth = 1.06 * float(value.std()) * len(value) ** -0.2
    if not bandwidth > 0:
        raise ValueError(f"`bandwidth` must be positive; got {bandwidth}.")
    flat, size = points.reshape(-1).double(), max(1, LARGEST_BLOCK // len(value))
    parts = [flat[first : first + size] for first in range(0, max(1, len(flat)), size)]
    fitted = [_local_line(value, target, part, bandwidth) for part in parts]
    mean, error = (torch.cat(column).reshape(points.shape).to(points.dtype) for column in zip(*fitted, strict=True))
    return ScoreEstimate(mean, error)


def _local_line(value: Tensor, target: Tensor, points: Tensor, bandwidth: float) -> tuple[Tensor, Tensor]:
    """Return the local lines at some points, and their standard errors."""
    distance = value - points.unsqueeze(-1)
    weight = torch.exp(-0.5 * (distance / bandwidth).square())
    first = (weight * distance).sum(-1, keepdim=True)
    second = (weight * distance.square()).sum(-1, keepdim=True)
    effective = weight * (second - distance * first)
    effective = effective / effective.sum(-1, keepdim=True)
    mean = (effective * target).sum(-1)
    residual = target - mean.unsqueeze(-1)
    return mean, (effective * residual).square().sum(-1).sqrt()
