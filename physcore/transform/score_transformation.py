r"""Scores under a smooth invertible change of variables.

With :math:`y = \phi(x)`, :math:`s(x) = \nabla_x \log p(x)`, :math:`J = J_\phi(x)` and the inverse Jacobian
:math:`B(x) = J_{\phi^{-1}}(\phi(x))`, the score of the law of :math:`y` is

.. math:: \nabla_y \log q(y) = J^{-T} \left[s - \nabla_x \log |\det J|\right]
          = B^T s + \nabla_y \log |\det J_{\phi^{-1}}(y)|
          = B^T s + \operatorname{div}_x B, \qquad (\operatorname{div} B)_k = \sum_i \partial_{x_i} B_{ik},

.. math:: u \cdot \nabla_y \log q(y) = w \cdot s + \operatorname{div} w, \qquad w = B u .

The three agree; they differ in what they need of the map and in cost.

Source: Robbins, Score Change of Variables (2024), the theorem; the equivalent forms are derived.
"""

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from physcore.transform import derivatives
from physcore.transform.bijections.bijection import Bijection
from physcore.transform.region import REALS
from physcore.transform.validation import check_score

__all__ = ["sliced_score", "transform_score"]

Form = Literal["log-determinant", "inverse", "divergence"]


def transform_score(bijection: Bijection, state: Tensor, score: Tensor, *, form: Form = "log-determinant") -> Tensor:
    r"""Return the score of the transformed law.

    A composition is taken layer by layer. The other direction is the transformation by
    ``Inverted(bijection=bijection)`` at points :math:`y`, :math:`s = J^T \nabla_y \log q + \nabla_x \log |\det J|`.

    Arguments:
        bijection: The map :math:`\phi`.
        state: Points :math:`x`, shape ``(..., component)``.
        score: Score :math:`s(x)` there, shape of ``state``, units 1 / [x].
        form: ``"log-determinant"`` is the cheapest, a product with the inverse Jacobian and the gradient of the
            log-determinant; ``"inverse"`` differentiates the inverse map and its log-determinant; ``"divergence"``
            needs no log-determinant, but one second derivative for each component.

    Returns:
        Score at :math:`\phi(x)`, shape of ``state``, units 1 / [y].

    Raises:
        ValueError: If a point lies outside the domain, the shapes differ, a number is not finite, or the form is
            unknown.

    Error:
        Rounding, times the condition number of the Jacobian.

    Source:
        Robbins, Score Change of Variables (2024), the theorem; its chaining over layers is derived.
    """
    if form not in FORMS:
        raise ValueError(f"`form` must be one of {', '.join(FORMS)}; got {form!r}.")
    _check(bijection, state, score)
    if form == "log-determinant":
        return bijection.push_score(state, score)
    before: Bijection | None = None
    for layer in bijection.layers:
        state = state if before is None else before.forward(state)
        score, before = FORMS[form](layer, state, score), layer
    return score


def sliced_score(bijection: Bijection, state: Tensor, score: Tensor, direction: Tensor) -> Tensor:
    r"""Return the transformed score along directions, :math:`w \cdot s + \operatorname{div} w`, :math:`w = J^{-1} u`.

    The divergence of :math:`w` is minus the slope of the log-determinant along it, one product for each
    direction.

    Arguments:
        bijection: The map.
        state: Points :math:`x`, shape ``(..., component)``.
        score: Score :math:`s(x)` there, shape of ``state``.
        direction: Fixed directions :math:`u` in the image, broadcastable with ``state``.

    Returns:
        Shape ``(...)``.

    Raises:
        ValueError: If a point lies outside the domain, the shapes differ or a number is not finite.

    Source:
        Derived from Jacobi's formula: div_x (B u) = u . grad_y log|det B| = -(B u) . grad_x log|det J|.
    """
    _check(bijection, state, score)
    field = bijection.inverse_push(state, direction)
    return (field * (score - bijection.log_determinant_gradient(state))).sum(-1)


def _check(bijection: Bijection, state: Tensor, score: Tensor) -> None:
    check_score(state, score)
    bijection.check_dimension(state)
    if bijection.domain is not REALS:
        bijection.check_domain(state)


def _with_inverse(bijection: Bijection, state: Tensor, score: Tensor) -> Tensor:
    growth = derivatives.gradient(lambda y: -bijection.log_determinant(bijection.inverse(y)), bijection.forward(state))
    return bijection.inverse_pull(state, score) + growth


def _with_divergence(bijection: Bijection, state: Tensor, score: Tensor) -> Tensor:
    return bijection.inverse_pull(state, score) + bijection.inverse_divergence(state)


FORMS: dict[str, Callable[[Bijection, Tensor, Tensor], Tensor]] = {
    "log-determinant": lambda bijection, state, score: bijection.push_score(state, score),
    "inverse": _with_inverse,
    "divergence": _with_divergence,
}
