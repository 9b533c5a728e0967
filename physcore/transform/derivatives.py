r"""Products with the Jacobian and the Hessian of a function by autodiff, without the matrices.

.. math:: J u, \qquad J^T w, \qquad (D^2 \phi[u, u])_k = \sum_{ij} u_i H^k_{ij} u_j

Outside other transforms all are taken backwards, through the transposed product, which is linear in :math:`w`:
:math:`J u = \nabla_w (u \cdot J^T w)`. So they also serve functions that define their own backward pass, as solvers do.

Source: the double backward product is due to Townsend, A new trick for calculating Jacobian vector products (2017).
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

__all__ = ["curvature", "followed", "gradient", "pull", "push"]

Function = Callable[[Tensor], Tensor]


def push(function: Function, point: Tensor, vector: Tensor, *, follow: bool = False) -> Tensor:
    r"""Return :math:`J u`.

    Arguments:
        function: From points ``(..., component)`` to values, each point by itself; values have one axis of components.
        point: Where, shape ``(..., component)``.
        vector: :math:`u`, of a shape broadcastable with ``point``.
        follow: Whether the result is to be differentiable by what else the function depends on, where gradients are on.

    Returns:
        Shape of the values at the broadcast points.
    """
    point, vector = _broadcast(point, vector)
    if _inside_transform():
        tangent: Tensor = torch.func.jvp(function, (point.contiguous(),), (vector.contiguous(),))[1]
        return tangent.to(point.dtype)
    watched, further = _watched(point, vector, follow)
    with torch.enable_grad():
        covector, transposed = _transposed(function, watched)
        (product,) = _gradients((transposed * vector).sum(), (covector,), further)
    return product


def pull(function: Function, point: Tensor, covector: Tensor, *, follow: bool = False) -> Tensor:
    r"""Return :math:`J^T w`.

    Arguments:
        function: From points ``(..., component)`` to values, each point by itself.
        point: Where, shape ``(..., component)``.
        covector: :math:`w`, of a shape broadcastable with the values.
        follow: See ``push``.

    Returns:
        Shape of the broadcast points.
    """
    leading = _broadcast(point[..., :1], covector[..., :1])[0].shape[:-1]
    point = point.expand(*leading, point.shape[-1])
    covector = covector.expand(*leading, covector.shape[-1])
    if _inside_transform():
        product: Tensor = torch.func.vjp(function, point)[1](covector)[0]
        return product
    watched, further = _watched(point, covector, follow)
    with torch.enable_grad():
        values = function(watched)
        (gradients,) = _gradients((values * covector).sum(), (watched,), further)
    return gradients


def gradient(function: Function, point: Tensor, *, follow: bool = False) -> Tensor:
    r"""Return the gradient of a function with one number for each point.

    Arguments:
        function: From points ``(..., component)`` to numbers ``(...)``, each point by itself.
        point: Where, shape ``(..., component)``.
        follow: See ``push``.

    Returns:
        Shape of ``point``.
    """
    one = torch.ones(1, dtype=point.dtype, device=point.device)
    return pull(lambda x: function(x).unsqueeze(-1), point, one, follow=follow)


def curvature(function: Function, point: Tensor, vector: Tensor, *, follow: bool = False) -> Tensor:
    r"""Return the second derivative :math:`D^2 \phi[u, u]` along a direction.

    Arguments:
        function: From points ``(..., component)`` to values, each point by itself.
        point: Where, shape ``(..., component)``.
        vector: :math:`u`, of a shape broadcastable with ``point``.
        follow: Whether the result is to be differentiable by what else the function depends on, where gradients are on.

    Returns:
        Shape of the values at the broadcast points.
    """
    point, vector = _broadcast(point, vector)
    if _inside_transform():
        return push(lambda x: push(function, x, vector), point, vector)
    watched, further = _watched(point, vector, follow)
    with torch.enable_grad():
        covector, transposed = _transposed(function, watched)
        (slope,) = _gradients((transposed * vector).sum(), (watched,), True)
        (product,) = _gradients((slope * vector).sum(), (covector,), further)
    return product


def followed(*tensors: Tensor, follow: bool = False) -> bool:
    """Return whether what is computed from tensors may be differentiated afterwards.

    Arguments:
        tensors: The tensors.
        follow: Whether the result depends on something else that asks for gradients.
    """
    asked = follow or any(tensor.requires_grad for tensor in tensors)
    return _inside_transform() or (torch.is_grad_enabled() and asked)


def _transposed(function: Function, watched: Tensor) -> tuple[Tensor, Tensor]:
    """Return a covector of zeros and the transposed product with it, which is differentiable in it."""
    values = function(watched)
    covector = torch.zeros_like(values, requires_grad=True)
    return covector, _gradients((values * covector).sum(), (watched,), True)[0]


def _gradients(value: Tensor, inputs: tuple[Tensor, ...], further: bool) -> tuple[Tensor, ...]:
    if not value.requires_grad:
        return tuple(torch.zeros_like(tensor) for tensor in inputs)
    return torch.autograd.grad(value, inputs, create_graph=further, materialize_grads=True)


def _watched(point: Tensor, other: Tensor, follow: bool) -> tuple[Tensor, bool]:
    """Return a point to differentiate by, and whether the derivatives are to be differentiable themselves."""
    further = torch.is_grad_enabled() and (follow or point.requires_grad or other.requires_grad)
    return (point if further and point.requires_grad else point.detach().requires_grad_()), further


def _broadcast(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    shape = np.broadcast_shapes(first.shape, second.shape)
    return first.expand(shape), second.expand(shape)


def _inside_transform() -> bool:
    # Inside another transform only transforms differentiate.
    return torch._C._functorch.peek_interpreter_stack() is not None
