r"""Matrix fields of diffusion Stein operators and of diffusion score matching.

A field :math:`m(x)` weighs the directions at every state. Only its products enter: :math:`m^T w`, the Stein score

.. math:: b = m^T s + \operatorname{div} m, \qquad (\operatorname{div} m)_k = \sum_i \partial_i m_{ik},

and the derivatives :math:`\sum_k (m_k \cdot \nabla) f_k` along its columns. A map :math:`T` gives the field
:math:`m = (\partial T / \partial x)^{-1}`, with which everything is as it were after the map: :math:`b` is the score of
the mapped law at :math:`T(x)`. A metric :math:`G` gives a root of its inverse, :math:`m m^T = G^{-1}`.

Source: Gorham et al., Measuring sample quality with diffusions (2019), for the operator; Gong and Li, Interpreting
diffusion score matching using normalizing flow (2021), for the map; the metric is derived.
"""

import abc
import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from analysis.stein.stein_kernel import SteinFeatures
from physcore.transform import Bijection, derivatives

__all__ = [
    "DiffusionField",
    "FlowField",
    "MatrixField",
    "MetricField",
    "ScaledField",
    "field_of",
    "standard_lengths",
]

Function = Callable[[Tensor], Tensor]


class DiffusionField(abc.ABC):
    """A matrix field; states have shape ``(n, component)``.

    Subclasses write ``columns``; those that can do without the matrices give the products as well.
    """

    @abc.abstractmethod
    def columns(self, states: Tensor) -> Tensor:
        """Return the matrices :math:`m`, shape ``(n, component, k)``, each state by itself.

        Arguments:
            states: States, shape ``(n, component)``.
        """

    def transposed(self, states: Tensor, vectors: Tensor) -> Tensor:
        """Return :math:`m^T w`.

        Arguments:
            states: States, shape ``(n, component)``.
            vectors: :math:`w`, of that shape.

        Returns:
            Shape ``(n, k)``.
        """
        return (vectors.unsqueeze(-2) @ self.columns(states)).squeeze(-2)

    def features(self, states: Tensor, scores: Tensor) -> SteinFeatures:
        """Return what the Stein kernel needs, the divergence by automatic differentiation.

        Arguments:
            states: States, shape ``(n, component)``.
            scores: Scores there, of that shape.
        """
        matrices = self.columns(states)
        carried = (scores.unsqueeze(-2) @ matrices).squeeze(-2) + self._divergence(states, matrices.shape[-1])
        return SteinFeatures(states, carried, matrices)

    def _divergence(self, states: Tensor, width: int) -> Tensor:
        """Return the divergence of each column, one derivative a component, shape ``(n, k)``."""
        total = torch.zeros(len(states), width, dtype=states.dtype, device=states.device)
        for i, axis in enumerate(torch.eye(states.shape[-1], dtype=states.dtype, device=states.device)):

            def row(x: Tensor, i: int = i) -> Tensor:
                return self.columns(x)[:, i]

            total = total + derivatives.push(row, states, axis)
        return total


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScaledField(DiffusionField):
    r"""The constant field diag(l) of units of length, after which states are dimensionless.

    Arguments:
        lengths: A length for each component.
        held: Components that the score holds; all when None. A discrepancy of these alone asks whether their
            conditional laws, given the others, are right.
    """

    lengths: tuple[float, ...]
    held: tuple[int, ...] | None = None

    def transposed(self, states: Tensor, vectors: Tensor) -> Tensor:
        """Return the products; see ``DiffusionField.transposed``."""
        scaled = vectors * self._lengths(states)
        return scaled if self.held is None else scaled[:, list(self.held)]

    def columns(self, states: Tensor) -> Tensor:
        """Return the matrices; see ``DiffusionField.columns``."""
        return (torch.diag(self._lengths(states)) @ self._chosen(states)).expand(len(states), -1, -1)

    def features(self, states: Tensor, scores: Tensor) -> SteinFeatures:
        """Return what the Stein kernel needs; see ``DiffusionField.features``."""
        points, carried = states / self._lengths(states), self.transposed(states, scores)
        frames = None if self.held is None else self._chosen(states).expand(len(states), -1, -1)
        return SteinFeatures(points, carried, frames)

    def _lengths(self, like: Tensor) -> Tensor:
        return torch.tensor(self.lengths, dtype=like.dtype, device=like.device)

    def _chosen(self, like: Tensor) -> Tensor:
        identity = torch.eye(len(self.lengths), dtype=like.dtype, device=like.device)
        return identity if self.held is None else identity[:, list(self.held)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowField(DiffusionField):
    r"""The field :math:`m = (\partial T / \partial x)^{-1}` of a map.

    Arguments:
        bijection: The map :math:`T`.
        pulled_back: Whether base kernels are of :math:`T(x)`, which makes the discrepancy that of the mapped laws and
            needs no matrices; of :math:`x` itself otherwise, another class of test functions.
    """

    bijection: Bijection
    pulled_back: bool = True

    def transposed(self, states: Tensor, vectors: Tensor) -> Tensor:
        """Return the products; see ``DiffusionField.transposed``."""
        return self.bijection.inverse_pull(states, vectors)

    def columns(self, states: Tensor) -> Tensor:
        """Return the matrices, a product for each component; see ``DiffusionField.columns``."""
        axes = torch.eye(states.shape[-1], dtype=states.dtype, device=states.device)
        return torch.stack([self.bijection.inverse_push(states, axis.expand_as(states)) for axis in axes], -1)

    def features(self, states: Tensor, scores: Tensor) -> SteinFeatures:
        """Return what the Stein kernel needs; see ``DiffusionField.features``."""
        carried = self.bijection.push_score(states, scores)
        if self.pulled_back:
            return SteinFeatures(self.bijection.forward(states), carried)
        return SteinFeatures(states, carried, self.columns(states))


@dataclasses.dataclass(frozen=True, kw_only=True)
class MatrixField(DiffusionField):
    r"""A field given as a function.

    Arguments:
        function: From states ``(n, component)`` to matrices :math:`m`, shape ``(n, component, k)``, each by itself.
    """

    function: Function

    def columns(self, states: Tensor) -> Tensor:
        """Return the matrices; see ``DiffusionField.columns``.

        Raises:
            ValueError: If the function gives no matrix for each state.
        """
        matrices = self.function(states)
        if matrices.ndim != 3 or matrices.shape[:-1] != states.shape:
            raise ValueError(
                f"a field must give matrices of shape {(*states.shape, 'k')} at states of shape {tuple(states.shape)}; "
                f"got {tuple(matrices.shape)}."
            )
        return matrices


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetricField(DiffusionField):
    r"""The field :math:`m = L^{-T}` of a metric :math:`G = L L^T`, so that :math:`m m^T = G^{-1}`.

    Arguments:
        metric: From states ``(n, component)`` to symmetric positive definite matrices :math:`G`, shape
            ``(n, component, component)``, each by itself.
    """

    metric: Function

    def columns(self, states: Tensor) -> Tensor:
        """Return the matrices; see ``DiffusionField.columns``.

        Raises:
            ValueError: If a matrix is not positive definite.
        """
        matrices = self.metric(states)
        factor, failed = torch.linalg.cholesky_ex(matrices)
        if bool(failed.any()):
            place = int(failed.nonzero()[0])
            lowest = float(torch.linalg.eigvalsh(matrices[place].detach()).min())
            raise ValueError(f"the metric must be positive definite; its lowest eigenvalue is {lowest:.3g}.")
        identity = torch.eye(states.shape[-1], dtype=states.dtype, device=states.device)
        inverse: Tensor = torch.linalg.solve_triangular(factor, identity.expand_as(factor), upper=False)
        return inverse.mT


def field_of(field: DiffusionField | Bijection) -> DiffusionField:
    """Return the field of a map, or the field itself.

    Arguments:
        field: A field, or a map that gives one.

    Raises:
        TypeError: If it is neither.
    """
    if isinstance(field, Bijection):
        return FlowField(bijection=field)
    if not isinstance(field, DiffusionField):
        raise TypeError(f"`field` must be a DiffusionField or a Bijection; got {type(field).__name__}.")
    return field


def standard_lengths(states: Tensor, held: Sequence[int] | None) -> ScaledField:
    """Return the field of the standard deviations of states.

    Arguments:
        states: Shape ``(n, component)``.
        held: Components that the score holds; all when None.

    Raises:
        ValueError: If a component does not vary.
    """
    spread = states.std(0)
    if not bool((spread > 0).all()):
        index = int((spread > 0).logical_not().nonzero()[0])
        raise ValueError(f"component {index} is the same in all states; give a scaling of `none` or later times.")
    return ScaledField(lengths=tuple(spread.tolist()), held=None if held is None else tuple(held))
