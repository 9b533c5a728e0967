r"""Mixtures of Gaussian kernels between features of a network, with their derivatives along curves.

.. math:: k(x, z) = \sum_j \rho_j\,e^{L_j(x, z)}, \qquad L_j = -\frac{|\phi_j(x) - \phi_j(z)|^2}{2 s_j}

A curve :math:`x(t)` is propagated through the layers, value, first and second derivative together: an affine layer maps
each, and the softplus :math:`\zeta`, whose derivatives are the sigmoid :math:`g` and :math:`g (1 - g)`, maps

.. math:: a \mapsto \zeta(a), \qquad a' \mapsto g\,a', \qquad a'' \mapsto g\,a'' + g (1 - g)\,a'^2 .

The exponent is a scalar product, :math:`L = \psi(x) \cdot \chi(z)` with :math:`\psi = (\phi, -\tfrac12 |\phi|^2, 1)`
and :math:`\chi = (\phi, 1, -\tfrac12 |\phi|^2) / s`, so that for all points :math:`z` at once

.. math:: k' = \sum_j \rho_j e^{L_j} L_j', \qquad k'' = \sum_j \rho_j e^{L_j} (L_j'^2 + L_j'') .

Source: Wenliang, Sutherland, Strathmann and Gretton, Learning deep kernels for exponential family densities (2019), for
the kernels; the propagation is Taylor mode (Griewank and Walther, Evaluating Derivatives, 2008, chapter 13) with second
derivatives summed over curves as in the forward Laplacian of Li et al. (2024); the scalar product is derived.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from physcore.kernel_exponential_family.directions import Directions

__all__ = ["DeepKernels", "Expansion"]

EXACT_SOFTPLUS = 50.0  # from where on the softplus is the identity to double precision


@dataclasses.dataclass(frozen=True)
class Expansion:
    """A sum of kernels at some points, or a function it is added to, with its derivatives along curves.

    Arguments:
        value: Values, shape ``(batch,)``.
        slopes: First derivatives along the curves they are wanted of, shape ``(curve, batch)``.
        curvature: Sum of the second derivatives along the curves these are wanted of, shape ``(batch,)``.
    """

    value: Tensor
    slopes: Tensor
    curvature: Tensor

    def __add__(self, other: "Expansion") -> "Expansion":
        return Expansion(self.value + other.value, self.slopes + other.slopes, self.curvature + other.curvature)


class DeepKernels(nn.Module):
    r"""The kernels of a mixture, each with a network of its own.

    A network is affine layers with softplus between them, and beside them a linear map from input to output. The last
    layer has no bias, which would cancel in the difference of features.

    Arguments:
        dimension: Number of components of a point.
        log_widths: Logarithms to base 10 of the first :math:`s_j`, one for each kernel; they are learned.
        features: Width of every layer.
        layers: Number of affine layers, at least 1.
        generator: Source of the first parameters; those of torch's global generator when None.

    Raises:
        ValueError: If there is no kernel, or a number is below 1.

    Error:
        Rounding of the exponents, of the order of the precision times the largest squared features.
    """

    def __init__(
        self,
        dimension: int,
        *,
        log_widths: Sequence[float] = (0.0, 0.5185, 1.0),
        features: int = 30,
        layers: int = 3,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        for name, number in {"dimension": dimension, "features": features, "layers": layers}.items():
            if number < 1:
                raise ValueError(f"`{name}` must be at least 1; got {number}.")
        if not log_widths:
            raise ValueError("`log_widths` must hold a number for each kernel, at least one.")
        kernels = len(log_widths)

        def normals(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(kernels, *shape, generator=generator) / math.sqrt(features))

        sizes = [dimension] + [features] * layers
        self.weights = nn.ParameterList([normals(n, m) for n, m in itertools.pairwise(sizes)])
        self.biases = nn.ParameterList([normals(1, features) for _ in range(layers - 1)])
        self.skip = normals(dimension, features)
        self.log_widths = nn.Parameter(torch.tensor(log_widths, dtype=torch.float32))
        self.mixture = nn.Parameter(torch.zeros(kernels))

    @property
    def dimension(self) -> int:
        """Number of components of a point."""
        return self.skip.shape[1]

    def centres(self, points: Tensor) -> Tensor:
        r"""Return :math:`\chi` of points, with the logarithm of the weight of each kernel in the last entry.

        Arguments:
            points: Points :math:`z`, shape ``(centre, component)``.

        Returns:
            Shape ``(kernel, centre, entry)``.
        """
        phi = self._network(points.unsqueeze(0), 0)[:, 0]
        width = 10.0 ** self.log_widths.reshape(-1, 1, 1)
        weight = torch.log_softmax(self.mixture, 0).reshape(-1, 1, 1)
        last = weight - 0.5 * phi.square().sum(-1, keepdim=True) / width
        return torch.cat([phi / width, (1 / width).expand_as(last), last], -1)

    def values(self, points: Tensor, centres: Tensor) -> Tensor:
        """Return the mixture at pairs of points and centres, shape ``(batch, centre)``.

        Arguments:
            points: Points, shape ``(batch, component)``.
            centres: What ``centres`` returned.
        """
        phi = self._network(points.unsqueeze(0), 0)[:, 0]
        psi = torch.cat([phi, -0.5 * phi.square().sum(-1, keepdim=True), torch.ones_like(phi[..., :1])], -1)
        return (psi @ centres.mT).exp().sum(0)

    def derivatives(self, directions: Directions, centres: Tensor) -> tuple[Tensor, Tensor]:
        """Return slopes and summed second derivatives of the mixture at all pairs.

        Arguments:
            directions: Points, and curves through them.
            centres: What ``centres`` returned.

        Returns:
            Shapes ``(curve, batch, centre)``, of the curves slopes are wanted of, and ``(batch, centre)``.
        """
        psi = self._exponent_features(directions)
        products = (psi.flatten(1, 2) @ centres.mT).reshape(*psi.shape[:3], centres.shape[1])
        exponents, first, second = torch.split(products, [1, directions.curves, 1], 1)
        sloping, turning = _parted(first, directions)
        kernel = exponents[:, 0].exp()
        total = _with_squares(second[:, 0], turning)
        (weight, slope), *others = zip(kernel, sloping, strict=True)
        slopes = weight * slope
        for weight, slope in others:
            slopes = torch.addcmul(slopes, weight, slope)
        return slopes, (kernel * total).sum(0)

    def expansion(self, directions: Directions, centres: Tensor, coefficients: Tensor) -> Expansion:
        r"""Return :math:`\sum_m \alpha_m k(x, z_m)` with its derivatives.

        Arguments:
            directions: Points, and curves through them.
            centres: What ``centres`` returned.
            coefficients: :math:`\alpha`, shape ``(centre,)``.
        """
        psi = self._exponent_features(directions)
        bent = directions.curves - directions.curved
        kernel = coefficients * (psi[:, 0] @ centres.mT).exp()
        pull = kernel @ centres  # the gradient in psi, shape (kernel, batch, entry)
        slopes = (psi[:, 1 : 1 + directions.slopes] * pull.unsqueeze(1)).sum((0, -1))
        turning = psi[:, 1 + bent : -1]
        first = (turning.flatten(1, 2) @ centres.mT).reshape(*turning.shape[:3], centres.shape[1])
        squares = _with_squares(torch.zeros_like(kernel), first)
        curvature = (kernel * squares).sum((0, -1)) + (psi[:, -1] * pull).sum((0, -1))
        return Expansion(kernel.sum((0, -1)), slopes, curvature)

    def _exponent_features(self, directions: Directions) -> Tensor:
        r"""Return :math:`\psi` and its derivatives along the curves, shape ``(kernel, row, batch, entry)``."""
        phi = self._network(directions.stacked, directions.curved)
        value, turning = phi[:, :1], phi[:, 1 + directions.curves - directions.curved : -1]
        products = (value * phi).sum(-1, keepdim=True)  # half the derivatives of |phi|^2, but for the first and last
        last = products[:, -1:] + turning.square().sum((1, -1)).unsqueeze(1).unsqueeze(-1)
        squares = torch.cat([0.5 * products[:, :1], products[:, 1:-1], last], 1)
        ones = torch.zeros_like(squares)
        ones[:, 0] = 1.0
        return torch.cat([phi, -squares, ones], -1)

    def _network(self, rows: Tensor, curved: int) -> Tensor:
        """Return features of points and then their derivatives, shape ``(kernel, row, batch, feature)``.

        Arguments:
            rows: Points, tangents, bends, shape ``(row, batch, component)``; points alone are one row.
            curved: How many of the tangents, the last, have second derivatives.
        """
        flat = rows.flatten(0, 1)
        shape = (len(self.mixture), *rows.shape[:2], self.skip.shape[-1])
        through = flat @ self.weights[0]
        for bias, weight in zip(self.biases, list(self.weights)[1:], strict=True):
            through = _softplus(through.reshape(shape), bias, curved).flatten(1, 2) @ weight
        features: Tensor = (through + flat @ self.skip).reshape(shape)
        return features


def _softplus(rows: Tensor, bias: Tensor, curved: int) -> Tensor:
    """Return value, tangents and second derivatives after bias and softplus, shape of ``rows``."""
    inner = rows[:, 0] + bias
    value = nn.functional.softplus(inner, threshold=EXACT_SOFTPLUS).unsqueeze(1)
    if rows.shape[1] == 1:
        return value
    gate = torch.sigmoid(inner).unsqueeze(1)
    first = gate * rows[:, 1:]
    squares = rows[:, -1 - curved : -1].square().sum(1, keepdim=True)
    second = first[:, -1:] + gate * (1 - gate) * squares
    return torch.cat([value, first[:, :-1], second], 1)


def _parted(first: Tensor, directions: Directions) -> tuple[Tensor, Tensor]:
    """Return the first derivatives along the curves whose slopes are wanted, and along those that turn.

    Arguments:
        first: Shape ``(kernel, curve, ...)``.
        directions: The curves.
    """
    if directions.slopes + directions.curved == directions.curves:
        # The gradients of a split are joined at once, those of slices are filled with zeros and added.
        sloping, turning = torch.split(first, [directions.slopes, directions.curved], 1)
        return sloping, turning
    return first[:, : directions.slopes], first[:, directions.curves - directions.curved :]


class _WithSquares(torch.autograd.Function):
    """A total with the squares of parts added, of shapes ``(kernel, ...)`` and ``(kernel, part, ...)``.

    Term by term, and back in one product: the large parts are passed over once each way.
    """

    @staticmethod
    def forward(total: Tensor, parts: Tensor) -> Tensor:
        """Return the sum."""
        for part in parts.unbind(1):
            total = torch.addcmul(total, part, part)
        return total

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # noqa: ARG004
        """Keep the parts."""
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients in total and parts."""
        (gradient,) = gradients
        (parts,) = ctx.saved_tensors
        return gradient, parts * (2 * gradient).unsqueeze(1)


def _with_squares(total: Tensor, parts: Tensor) -> Tensor:
    if not parts.shape[1]:
        return total
    result: Tensor = _WithSquares.apply(total, parts)  # type: ignore[no-untyped-call]
    return result
