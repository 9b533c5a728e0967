r"""Normalizing flows as maps.

.. math:: y = \phi_n \circ \dots \circ \phi_1(x)

A flow of zuko carries data :math:`x` to its latent space :math:`y`, layer by layer; each layer is a map of its own,
and all products are by autodiff, backwards. A continuous flow is a single layer, with the error of its integrator.
"""

import dataclasses
import hashlib
from typing import Any

import torch
from torch import Tensor, nn

from physcore.transform.bijections.bijection import Bijection
from physcore.transform.bijections.composition import Composition

__all__ = ["FlowLayer", "flow_bijection"]

NEEDED = ("inv", "call_and_ladj")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FlowLayer(Bijection):
    """One transformation of a flow.

    Arguments:
        transform: A transformation with ``inv`` and ``call_and_ladj``, as those of zuko.
        digest: SHA-256 of the parameters of its flow, by which runs are told apart.

    Raises:
        ValueError: If the transformation lacks one of these.
    """

    transform: Any
    digest: str = ""

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
        value: Tensor = self.transform.inv(state)
        return value

    def log_determinant(self, state: Tensor) -> Tensor:
        """Return the logarithm of the determinant, shape ``(...)``; see ``Bijection.log_determinant``."""
        self.check_domain(state)
        logarithm: Tensor = self.transform.call_and_ladj(state)[1]
        # A transformation of each component by itself gives a number for each.
        return logarithm.sum(-1) if logarithm.ndim == state.ndim else logarithm


def flow_bijection(flow: nn.Module, context: Tensor | None = None) -> Composition:
    """Return a flow of zuko, with the parameters it has now, as a map from data to its latent space.

    Derivatives by the parameters are there where the states require gradients.

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
    layers = [FlowLayer(transform=part, digest=digest.hexdigest()) for part in getattr(made, "transforms", (made,))]
    return Composition(bijections=tuple(layers))
