"""Networks that make the parameters of transformations of one variable, as zuko builds them."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

__all__ = ["Conditioner", "conditioner"]

POINTWISE = (
    nn.CELU, nn.ELU, nn.GELU, nn.LeakyReLU, nn.Mish, nn.ReLU, nn.SELU, nn.Sigmoid, nn.SiLU, nn.Softplus, nn.Tanh,
)  # fmt: skip
LINEAR = ("Linear", "MaskedLinear")


@dataclasses.dataclass(frozen=True)
class Conditioner:
    """A network of linear layers with pointwise functions between them, and what is made of its outputs.

    Arguments:
        linear: The linear layers, masked or not.
        activations: The functions between them.
        make: From parameters, one tensor of each shape after leading axes, to transformations of one variable.
        shapes: Shapes of the parameters of one transformation.
    """

    linear: tuple[Any, ...]
    activations: tuple[nn.Module, ...]
    make: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]

    @property
    def parameters(self) -> int:
        """Number of parameters of one transformation."""
        return sum(math.prod(shape) for shape in self.shapes)

    @property
    def masks(self) -> list[Tensor] | None:
        """What the outputs of each layer may depend on, None where layers are not masked."""
        found = [getattr(layer, "mask", None) for layer in self.linear]
        return None if any(mask is None for mask in found) else [mask.bool().cpu() for mask in found]  # type: ignore[union-attr]


def conditioner(transform: Any) -> Conditioner | None:
    """Return the network of a coupling or an autoregressive transformation, None where it is another or has a context.

    Arguments:
        transform: A transformation of zuko with ``meta``.
    """
    meta = transform.meta
    made_by = getattr(getattr(meta, "func", None), "__self__", None)
    network = getattr(made_by, "hyper", None)
    if not isinstance(meta, functools.partial) or meta.args != (None,) or not isinstance(network, nn.Sequential):
        return None
    linear, activations = tuple(network)[::2], tuple(network)[1::2]
    # Those of zuko are not all derived from torch's; of an ensemble the matrices are stacked.
    if not all(type(layer).__name__ in LINEAR and layer.weight.ndim == 2 for layer in linear):
        return None
    if not all(type(activation) in POINTWISE for activation in activations):
        return None
    shapes = tuple(tuple(shape) for shape in made_by.shapes)  # type: ignore[union-attr]
    return Conditioner(linear, activations, made_by.univariate, shapes)  # type: ignore[union-attr]
