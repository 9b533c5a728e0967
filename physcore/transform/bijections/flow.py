r"""Normalizing flows as maps.

.. math:: y = \phi_n \circ \dots \circ \phi_1(x)

A flow of zuko carries data :math:`x` to its latent space :math:`y`, layer by layer; each layer is a map of its own,
and all products are by autodiff, backwards. A continuous flow is a single layer, with the error of its integrator.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from physcore.transform import derivatives
from physcore.transform.bijections.bijection import Bijection
from physcore.transform.bijections.composition import Composition
from physcore.transform.bijections.triangular import Autoregressive, Triangular, triangular

__all__ = ["FlowLayer", "flow_bijection"]

NEEDED = ("inv", "call_and_ladj")
PROBES = 8


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FlowLayer(Bijection):
    """One transformation of a flow.

    Arguments:
        transform: A transformation with ``inv`` and ``call_and_ladj``, as those of zuko.
        digest: SHA-256 of the parameters of its flow, by which runs are told apart.
        trainable: Whether results are to be differentiable by the parameters of the flow, where gradients are on.

    Raises:
        ValueError: If the transformation lacks one of these.
    """

    transform: Any
    digest: str = ""
    trainable: bool = False

    def __post_init__(self) -> None:
        for name in NEEDED:
            if not hasattr(self.transform, name):
                raise ValueError(f"`transform` must have `{name}`; {type(self.transform).__name__} has not.")

    @property
    def parameters(self) -> dict[str, Any]:
        """The name of the transformation and the digest, as plain values."""
        return {"name": type(self.transform).__name__, "digest": self.digest}

    def forward(self, state: Tensor) -> Tensor:
        """Return the transformed points, shape of ``state``; see ``Bijection.forward``."""
        self.check_domain(state)
        value: Tensor = self.transform(state)
        return value

    def inverse(self, state: Tensor) -> Tensor:
        """Return the points before, shape of ``state``; see ``Bijection.inverse``."""
        self.check_image(state)
        way = self._triangular(state, state)
        value: Tensor = (
            self.transform.inv(state) if way is None or isinstance(way, Autoregressive) else way.inverse(state)
        )
        return value

    def log_determinant(self, state: Tensor) -> Tensor:
        """Return the logarithm of the determinant, shape ``(...)``; see ``Bijection.log_determinant``."""
        self.check_domain(state)
        return _joined(*self.transform.call_and_ladj(state))[..., -1]

    def log_determinant_gradient(self, state: Tensor) -> Tensor:
        """Return its gradient, shape of ``state``; see ``Bijection.log_determinant_gradient``."""
        return derivatives.gradient(self.log_determinant, state, follow=self.trainable)

    def pull(self, state: Tensor, covector: Tensor) -> Tensor:
        """Return the product with the transposed Jacobian; see ``Bijection.pull``."""
        return derivatives.pull(self.forward, state, covector, follow=self.trainable)

    def inverse_pull(self, state: Tensor, covector: Tensor) -> Tensor:
        """Return the product with the transposed inverse Jacobian; see ``Bijection.inverse_pull``."""
        return derivatives.pull(self.inverse, self.forward(state), covector, follow=self.trainable)

    def push(self, state: Tensor, vector: Tensor) -> Tensor:
        """Return the product with the Jacobian, one pass for each component; see ``Bijection.push``."""
        return _by_rows(self.pull, state, vector)

    def inverse_push(self, state: Tensor, vector: Tensor) -> Tensor:
        """Return the product with the inverse Jacobian, one pass for each component; see ``Bijection.inverse_push``."""
        return _by_rows(self.inverse_pull, state, vector)

    def inverse_divergence(self, state: Tensor) -> Tensor:
        """Return the divergence by Jacobi's formula from the log-determinant; see ``Bijection.inverse_divergence``."""
        return -self.inverse_pull(state, self.log_determinant_gradient(state))

    def push_score(self, state: Tensor, score: Tensor) -> Tensor:
        """Return the score after the map; see ``carry_score``."""
        return self.carry_score(state, score)[1]

    def carry_score(self, state: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Return points and score after the map, with one pass back through its inverse; see ``Bijection``."""
        way = self._triangular(state, score)
        if way is not None:
            self.check_domain(state)
            return way.carry(state, score)
        image = self.forward(state)
        return image, self._joint_gradient(self.transform.inv, image, score)

    def return_score(self, image: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Return points and score before the map, with one pass back through it; see ``Bijection.return_score``."""
        way = self._triangular(image, score)
        if way is not None:
            self.check_image(image)
            return way.carry_back(image, score)
        origin = self.inverse(image)
        return origin, self.pull_score(origin, score)

    def pull_score(self, state: Tensor, score: Tensor) -> Tensor:
        """Return the score before the map, with one pass back through it; see ``Bijection.pull_score``."""
        return self._joint_gradient(self.transform, state, score)

    def _triangular(self, state: Tensor, score: Tensor) -> Triangular | None:
        """Return the quicker way of a triangular Jacobian, where results need not be differentiable themselves."""
        return None if derivatives.followed(state, score, follow=self.trainable) else self._way

    @functools.cached_property
    def _way(self) -> Triangular | None:
        return triangular(self.transform)

    def _joint_gradient(self, transform: Any, state: Tensor, score: Tensor) -> Tensor:
        """Return the product of a score with the transposed Jacobian plus the gradient of the log-determinant."""
        one = torch.ones_like(score[..., :1])
        both = torch.cat([score, one], -1)
        return derivatives.pull(lambda x: _joined(*transform.call_and_ladj(x)), state, both, follow=self.trainable)

    def hessian_contraction(self, state: Tensor, noise: Tensor) -> Tensor:
        """Return its Ito correction, doubled, shape of ``state``; see ``Bijection.hessian_contraction``.

        Raises:
            NotImplementedError: If the backward pass of the transformation cannot be differentiated itself.
        """
        if not self._twice_differentiable(state):
            raise NotImplementedError(
                f"the backward pass of {type(self.transform).__name__} cannot be differentiated, and the term of Ito "
                "needs its second derivatives. Use a flow in closed form, such as NSF, MAF or NICE."
            )
        bent = derivatives.curvature(self.forward, state.unsqueeze(-2), noise.mT, follow=self.trainable)
        return bent.sum(-2)

    def _twice_differentiable(self, state: Tensor) -> bool:
        """Return whether second derivatives agree with differences of first ones, at most of a few states."""
        points = state.detach().reshape(-1, state.shape[-1])[:PROBES]
        step = torch.finfo(state.dtype).eps ** 0.25
        axis = torch.ones_like(points)
        ahead, behind = (self.push(points + sign * step * axis, axis) for sign in (1, -1))
        slope = (ahead - behind) / (2 * step)
        allowed = 10 * step * (slope.abs().amax(-1) + step * ahead.abs().amax(-1))
        agree = (derivatives.curvature(self.forward, points, axis) - slope).abs().amax(-1) <= allowed
        return bool(2 * agree.sum() >= len(agree))


def _joined(value: Tensor, logarithm: Tensor) -> Tensor:
    """Return a value with the log-determinant as one more component."""
    # A transformation of each component by itself gives a number for each.
    total = logarithm.sum(-1) if logarithm.ndim == value.ndim else logarithm
    return torch.cat([value, total.unsqueeze(-1)], -1)


def _by_rows(transposed: Callable[[Tensor, Tensor], Tensor], state: Tensor, vector: Tensor) -> Tensor:
    """Return the product with a matrix whose transposed product is given.

    Solvers define a backward pass that cannot be differentiated, so that it has to be asked for each row.
    """
    axes = torch.eye(state.shape[-1], dtype=state.dtype, device=state.device)
    return torch.stack([(transposed(state, axis) * vector).sum(-1) for axis in axes], -1)


def flow_bijection(flow: nn.Module, context: Tensor | None = None) -> Composition:
    """Return a flow of zuko, with the parameters it has now, as a map from data to its latent space.

    Like those of a module, results are differentiable by its parameters where these and gradients are on.

    Arguments:
        flow: A ``zuko.flows.Flow``, or another module whose ``transform`` makes a transformation with ``inv`` and
            ``call_and_ladj``.
        context: What the flow is conditioned on, None for nothing.

    Returns:
        Its layers, one after the other.

    Raises:
        ValueError: If the module makes no such transformation.

    Error:
        Rounding; of a transformation inverted by bisection its tolerance, of a continuous flow that of its integrator.
        Where the networks have kinks the map is not smooth, and the term of Ito lacks what the kinks contribute: give
        flows that carry a process a smooth activation.

    Source:
        Rozet et al., Zuko: normalizing flows in PyTorch (2022), doi:10.5281/zenodo.7625672.
    """
    make = getattr(flow, "transform", None)
    if not callable(make):
        raise ValueError(f"`flow` must have a `transform`, as the flows of zuko have; {type(flow).__name__} has not.")
    digest = hashlib.sha256()
    for name, value in flow.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    made = make(context)
    trainable = any(parameter.requires_grad for parameter in flow.parameters())
    parts = getattr(made, "transforms", (made,))
    return Composition(
        bijections=tuple(FlowLayer(transform=part, digest=digest.hexdigest(), trainable=trainable) for part in parts)
    )
