r"""The contract of a smooth invertible map.

.. math:: y = \phi(x), \qquad J_{li} = \partial y_l / \partial x_i, \qquad
          (H{:}A)_k = \sum_{ij} H^k_{ij} A_{ij} = \sum_r D^2 \phi_k[g_r, g_r], \quad A = G G^T

Products with :math:`J`, its transpose and their inverses stand in place of the matrices. All are taken at a point
:math:`x` of the domain. A map that gives no closed forms has them by autodiff.
"""

import abc
import dataclasses
from typing import Any, ClassVar

import torch
from torch import Tensor

from physcore.registry import name_of
from physcore.transform import derivatives
from physcore.transform.region import REALS, Region

__all__ = ["Bijection"]


class Bijection(abc.ABC):
    r"""A smooth invertible map :math:`y = \phi(x)` between regions of the same dimension.

    Subclasses write ``forward``, ``inverse`` and ``log_determinant``; they may give the products in closed form. The
    first three refuse points outside; the products take them as they are.

    Attributes:
        group: Entry point group under which maps are registered.
        dimension: Number of components, None for a map of any number.
    """

    group: ClassVar[str] = "physcore.bijections"
    dimension: int | None = None

    @property
    def domain(self) -> Region:
        """Where the map is defined: everywhere unless a map says otherwise."""
        return REALS

    @property
    def image(self) -> Region:
        """Where the map leads: everywhere unless a map says otherwise."""
        return REALS

    @property
    def layers(self) -> tuple["Bijection", ...]:
        """The maps that this one is made of, the first applied first; only itself if it is no composition."""
        return (self,)

    @property
    def parameters(self) -> dict[str, Any]:
        """The name of the map and its fields, as plain values; a registered map is built from them."""
        names: list[str] = [field.name for field in dataclasses.fields(self)] if dataclasses.is_dataclass(self) else []
        name = name_of(type(self)) or type(self).__name__
        return {"name": name, **{name: _plain(getattr(self, name)) for name in names}}

    @abc.abstractmethod
    def forward(self, state: Tensor) -> Tensor:
        r"""Return :math:`\phi(x)`.

        Arguments:
            state: Points :math:`x`, shape ``(..., component)``.

        Returns:
            Shape of ``state``.

        Raises:
            ValueError: If a point lies outside the domain.
        """

    @abc.abstractmethod
    def inverse(self, state: Tensor) -> Tensor:
        r"""Return :math:`\phi^{-1}(y)`.

        Arguments:
            state: Points :math:`y`, shape ``(..., component)``.

        Returns:
            Shape of ``state``.

        Raises:
            ValueError: If a point lies outside the image.
        """

    @abc.abstractmethod
    def log_determinant(self, state: Tensor) -> Tensor:
        r"""Return :math:`\log |\det J(x)|`.

        Arguments:
            state: Points :math:`x`, shape ``(..., component)``.

        Returns:
            Shape ``(...)``.

        Raises:
            ValueError: If a point lies outside the domain.
        """

    def log_determinant_gradient(self, state: Tensor) -> Tensor:
        r"""Return :math:`\nabla_x \log |\det J(x)|`, shape of ``state``."""
        return derivatives.gradient(self.log_determinant, state)

    def push(self, state: Tensor, vector: Tensor) -> Tensor:
        r"""Return :math:`J u`.

        Arguments:
            state: Points :math:`x`, shape ``(..., component)``.
            vector: :math:`u`, broadcastable with ``state``, here and below.

        Returns:
            Broadcast shape, here and below.
        """
        return derivatives.push(self.forward, state, vector)

    def pull(self, state: Tensor, covector: Tensor) -> Tensor:
        r"""Return :math:`J^T w` at points :math:`x`; see ``push``."""
        return derivatives.pull(self.forward, state, covector)

    def inverse_push(self, state: Tensor, vector: Tensor) -> Tensor:
        r"""Return :math:`J^{-1} v` at points :math:`x`; see ``push``."""
        return derivatives.push(self.inverse, self.forward(state), vector)

    def inverse_pull(self, state: Tensor, covector: Tensor) -> Tensor:
        r"""Return :math:`J^{-T} w` at points :math:`x`; see ``push``."""
        return derivatives.pull(self.inverse, self.forward(state), covector)

    def inverse_divergence(self, state: Tensor) -> Tensor:
        r"""Return :math:`\sum_i \partial_{x_i} B_{ik}` of the inverse Jacobian, one second derivative a component.

        Arguments:
            state: Points :math:`x`, shape ``(..., component)``.

        Returns:
            The divergence of each column of :math:`B(x) = J^{-1}`, shape of ``state``.
        """
        divergence = torch.zeros_like(state)
        for axis in torch.eye(state.shape[-1], dtype=state.dtype, device=state.device):

            def row(x: Tensor, axis: Tensor = axis) -> Tensor:
                return self.inverse_pull(x, axis)

            divergence = divergence + derivatives.push(row, state, axis)
        return divergence

    def push_score(self, state: Tensor, score: Tensor) -> Tensor:
        r"""Return the score of the transformed law, :math:`J^{-T} (s - \nabla_x \log |\det J|)`.

        Arguments:
            state: Points :math:`x`, shape ``(..., component)``.
            score: Score :math:`s` there, shape of ``state``, units 1 / [x].

        Returns:
            Score at :math:`\phi(x)`, shape of ``state``, units 1 / [y].
        """
        return self.inverse_pull(state, score - self.log_determinant_gradient(state))

    def carry_score(self, state: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return :math:`\phi(x)` and the score there, which share what they are computed from.

        Arguments:
            state: Points :math:`x`, shape ``(..., component)``.
            score: Score :math:`s` there, shape of ``state``, units 1 / [x].

        Returns:
            Points and score after the map, each of the shape of ``state``.

        Raises:
            ValueError: If a point lies outside the domain.
        """
        return self.forward(state), self.push_score(state, score)

    def return_score(self, image: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return :math:`\phi^{-1}(y)` and the score before the map, which share what they are computed from.

        Arguments:
            image: Points :math:`y`, shape ``(..., component)``.
            score: Score there, shape of ``image``, units 1 / [y].

        Returns:
            Points and score before the map, each of the shape of ``image``.

        Raises:
            ValueError: If a point lies outside the image.
        """
        origin = self.inverse(image)
        return origin, self.pull_score(origin, score)

    def pull_score(self, state: Tensor, score: Tensor) -> Tensor:
        r"""Return the score before the map, :math:`s = J^T \nabla_y \log q + \nabla_x \log |\det J|`.

        Arguments:
            state: Points :math:`x`, shape ``(..., component)``.
            score: Score at :math:`\phi(x)`, shape of ``state``, units 1 / [y].

        Returns:
            Score at :math:`x`, shape of ``state``, units 1 / [x].
        """
        return self.pull(state, score) + self.log_determinant_gradient(state)

    def hessian_contraction(self, state: Tensor, noise: Tensor) -> Tensor:
        r"""Return :math:`H{:}A`, twice the Ito correction of the map.

        Arguments:
            state: Points :math:`x`, shape ``(..., component)``.
            noise: A root :math:`G` of :math:`A = G G^T`, shape ``(..., component, noise)`` or ``(component, noise)``.

        Returns:
            Shape ``(..., component)``.
        """
        return derivatives.curvature(self.forward, state.unsqueeze(-2), noise.mT).sum(-2)

    def check_dimension(self, state: Tensor) -> None:
        """Refuse states of another number of components.

        Arguments:
            state: States, shape ``(..., component)``.

        Raises:
            ValueError: If the last axis is not as long as the map has components.
        """
        expected = self.dimension
        if state.ndim < 1 or (expected is not None and state.shape[-1] != expected):
            wanted = "at least one axis" if expected is None else f"{expected} components on its last axis"
            raise ValueError(f"`state` of {type(self).__name__} must have {wanted}; got shape {tuple(state.shape)}.")

    def check_domain(self, state: Tensor) -> None:
        """Refuse states of another dimension or outside the domain; see ``Region.check``."""
        self.check_dimension(state)
        self.domain.check(state, type(self).__name__)

    def check_image(self, state: Tensor) -> None:
        """Refuse states of another dimension or outside the image; see ``Region.check``."""
        self.check_dimension(state)
        self.image.check(state, f"{type(self).__name__}.inverse")


def _plain(value: Any) -> Any:
    if isinstance(value, Bijection):
        return value.parameters
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return value
