r"""Projections of each component through a function of its own.

.. math:: v = \sum_i \epsilon_i \varphi(x_i), \qquad w_i = \epsilon_i \varphi'(x_i), \qquad
          M = \operatorname{diag}(\varphi'^2), \qquad (\operatorname{div} M)_i = 2 \varphi' \varphi''

A slope that falls, as that of the inverse hyperbolic sine, weighs tails down.

Source: derived.
"""

import dataclasses
from collections.abc import Callable

from torch import Tensor

from physcore.score.slicings.diffusion_matrix import DiagonalField, DiffusionMatrix
from physcore.score.slicings.slicing import SlicingField
from physcore.transform.bijections import Arcsinh, Bijection, Elementwise

__all__ = ["ElementwiseWarp"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ElementwiseWarp(DiffusionMatrix):
    r"""Projections through a map of each component by itself.

    Arguments:
        bijection: :math:`\varphi`.

    Raises:
        ValueError: If the map mixes components.
    """

    bijection: Bijection = dataclasses.field(default_factory=Arcsinh)

    def __post_init__(self) -> None:
        if not isinstance(self.bijection, Elementwise):
            raise ValueError(f"`bijection` must map each component by itself; got {self.bijection!r}.")

    def field(self, signs: Tensor) -> SlicingField:
        """Return the gradient of the projection; see ``DiffusionMatrix.field``."""
        return DiagonalField(signs=signs, entries=self._entries)

    def multiply(self, state: Tensor, vector: Tensor) -> Tensor:
        r"""Return :math:`\varphi' u`; see ``DiffusionMatrix.multiply``."""
        return self.bijection.push(state, vector)

    def transposed(self, state: Tensor, covector: Tensor) -> Tensor:
        r"""Return :math:`\varphi' u`; see ``DiffusionMatrix.transposed``."""
        return self.bijection.push(state, covector)

    def second_moment_divergence(self, state: Tensor) -> Tensor:
        r"""Return :math:`2 \varphi' \varphi''`; see ``Slicing.second_moment_divergence``."""
        slope, bend = self._entries(state)
        return 2 * slope * bend

    @property
    def _entries(self) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        bijection = self.bijection

        def entries(state: Tensor) -> tuple[Tensor, Tensor]:
            bijection.check_domain(state)
            slope = bijection.push(state, state.new_ones(()))
            return slope, slope * bijection.log_determinant_gradient(state)

        return entries
