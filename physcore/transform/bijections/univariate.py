"""Transformations of one variable whose parameters a network makes, with the derivatives that carry a score."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["Jet", "Univariate", "slopes"]


@dataclasses.dataclass(frozen=True)
class Jet:
    r"""Functions of one variable with their derivatives, shape ``(component, point)``.

    Arguments:
        value: :math:`f`.
        slope: :math:`f'`.
        bend: Slope of :math:`\log |f'|`.
        by_parameters: Derivative of the value by the parameters, shape ``(component, parameter, point)``.
        growth_by_parameters: That of :math:`\log |f'|`.
    """

    value: Tensor
    slope: Tensor
    bend: Tensor
    by_parameters: Tensor
    growth_by_parameters: Tensor

    def adjoint(self, carried: Tensor, rows: slice = slice(None)) -> Tensor:
        """Turn derivatives of the growth into adjoints of the parameters, in their place: fresh memory costs as much.

        Arguments:
            carried: Scores of the values of some components, shape ``(component, point)``.
            rows: These components, whose derivatives of the growth are gone afterwards.

        Returns:
            Adjoints of the parameters of all components as they stand now, ``(component * parameter, point)``.
        """
        self.growth_by_parameters[rows].addcmul_(self.by_parameters[rows], carried.unsqueeze(1))
        return self.growth_by_parameters.flatten(0, 1)


class Univariate:
    """A kind of transformation of one variable, its derivatives by autodiff.

    Arguments:
        make: From parameters, one tensor of each shape after leading axes, to transformations.
        shapes: Shapes of the parameters of one transformation.
    """

    def __init__(self, make: Callable[..., Any], shapes: Sequence[tuple[int, ...]]) -> None:
        self.make, self.shapes = make, shapes
        self.sizes = [math.prod(shape) for shape in shapes]
        self.parameters = sum(self.sizes)

    def jet(self, parameters: Tensor, points: Tensor) -> Jet:
        """Return the transformations with their derivatives.

        Arguments:
            parameters: Shape ``(component * parameter, point)``.
            points: Shape ``(component, point)``.
        """
        parameters, points = (tensor.detach().requires_grad_() for tensor in (parameters, points))
        with torch.enable_grad():
            value, growth = self._made(parameters).call_and_ladj(points)
            slope, along = slopes(value, points, parameters, kept=True)
            bend, growing = slopes(growth, points, parameters)
        shape = (len(points), self.parameters, points.shape[1])
        return Jet(value.detach(), slope, bend, along.reshape(shape), growing.reshape(shape))

    def inverse(self, parameters: Tensor, image: Tensor) -> Tensor:
        """Return the points before, shape of ``image``; see ``jet``."""
        found: Tensor = self._made(parameters).inv(image)
        return found

    def _made(self, parameters: Tensor) -> Any:
        shape = (len(parameters) // self.parameters, self.parameters, parameters.shape[1])
        parts = torch.split(parameters.reshape(shape).movedim(1, -1), self.sizes, -1)
        return self.make(
            *(part.reshape(*part.shape[:-1], *shape) for part, shape in zip(parts, self.shapes, strict=True))
        )


def slopes(value: Tensor, *inputs: Tensor, kept: bool = False) -> tuple[Tensor, ...]:
    """Return the derivatives of the sum of some values, zeros where they do not depend on an input.

    Arguments:
        value: The values.
        inputs: What is differentiated by.
        kept: Whether more derivatives are to be asked for.
    """
    if not value.requires_grad:
        return tuple(torch.zeros_like(tensor) for tensor in inputs)
    return torch.autograd.grad(value.sum(), inputs, retain_graph=kept, materialize_grads=True)
