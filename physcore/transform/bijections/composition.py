r"""One map after another.

.. math:: \phi = \phi_n \circ \dots \circ \phi_1, \qquad J = J_n \cdots J_1, \qquad
          D^2 (\psi \circ \phi)[u, u] = J_\psi D^2 \phi[u, u] + D^2 \psi[J_\phi u, J_\phi u]
"""

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor

from physcore.transform.bijections.bijection import Bijection
from physcore.transform.region import REALS, Region

__all__ = ["Composition"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Composition(Bijection):
    """Maps in the order in which they are applied; the identity if there are none.

    Arguments:
        bijections: The maps, the first applied first. Compositions among them are taken apart.

    Raises:
        ValueError: If they have different numbers of components.
    """

    bijections: tuple[Bijection, ...] = ()

    def __post_init__(self) -> None:
        layers = tuple(layer for bijection in self.bijections for layer in bijection.layers)
        known = {layer.dimension for layer in layers} - {None}
        if len(known) > 1:
            raise ValueError(
                f"`bijections` must have the same number of components; got {[layer.dimension for layer in layers]}."
            )
        object.__setattr__(self, "bijections", layers)
        object.__setattr__(self, "dimension", known.pop() if known else None)

    @property
    def domain(self) -> Region:
        """The domain of the first map; the later ones check what reaches them."""
        return self.bijections[0].domain if self.bijections else REALS

    @property
    def image(self) -> Region:
        """Where every inverse from the last to the first is defined."""
        if all(layer.image is REALS for layer in self.bijections):
            return REALS
        return Region("it must be reached by every map of a composition", self._reached)

    @property
    def layers(self) -> tuple[Bijection, ...]:
        """The maps; see ``Bijection.layers``."""
        return self.bijections

    def forward(self, state: Tensor) -> Tensor:
        """Return the last map's value, shape of ``state``; see ``Bijection.forward``."""
        self.check_domain(state)
        for layer in self.bijections:
            state = layer.forward(state)
        return state

    def inverse(self, state: Tensor) -> Tensor:
        """Return the first map's argument, shape of ``state``; see ``Bijection.inverse``."""
        self.check_dimension(state)
        for layer in reversed(self.bijections):
            state = layer.inverse(state)
        return state

    def log_determinant(self, state: Tensor) -> Tensor:
        """Return the sum over the maps, shape ``(...)``; see ``Bijection.log_determinant``."""
        self.check_domain(state)
        total = torch.zeros_like(state[..., 0])
        for layer, point in self._places(state):
            total = total + layer.log_determinant(point)
        return total

    def log_determinant_gradient(self, state: Tensor) -> Tensor:
        """Return its gradient, pulled back map by map; see ``Bijection.log_determinant_gradient``."""
        gradient = torch.zeros_like(state)
        for layer, point in reversed(list(self._places(state))):
            gradient = layer.pull(point, gradient) + layer.log_determinant_gradient(point)
        return gradient

    def push(self, state: Tensor, vector: Tensor) -> Tensor:
        """Return the product with every Jacobian in turn; see ``Bijection.push``."""
        for layer, point in self._places(state):
            vector = layer.push(point, vector)
        return vector

    def pull(self, state: Tensor, covector: Tensor) -> Tensor:
        """Return the product with every transposed Jacobian, the last first; see ``Bijection.pull``."""
        for layer, point in reversed(list(self._places(state))):
            covector = layer.pull(point, covector)
        return covector

    def inverse_push(self, state: Tensor, vector: Tensor) -> Tensor:
        """Return the product with every inverse Jacobian, the last first; see ``Bijection.inverse_push``."""
        for layer, point in reversed(list(self._places(state))):
            vector = layer.inverse_push(point, vector)
        return vector

    def inverse_pull(self, state: Tensor, covector: Tensor) -> Tensor:
        """Return the product with every transposed inverse Jacobian in turn; see ``Bijection.inverse_pull``."""
        for layer, point in self._places(state):
            covector = layer.inverse_pull(point, covector)
        return covector

    def push_score(self, state: Tensor, score: Tensor) -> Tensor:
        """Return the score carried through one map after the other; see ``Bijection.push_score``."""
        for layer in self.bijections[:-1]:
            state, score = layer.carry_score(state, score)
        return self.bijections[-1].push_score(state, score) if self.bijections else score

    def carry_score(self, state: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Return points and score after the last map; see ``Bijection.carry_score``."""
        for layer in self.bijections:
            state, score = layer.carry_score(state, score)
        return state, score

    def return_score(self, image: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Return points and score before the first map; see ``Bijection.return_score``."""
        for layer in reversed(self.bijections):
            image, score = layer.return_score(image, score)
        return image, score

    def pull_score(self, state: Tensor, score: Tensor) -> Tensor:
        """Return the score carried back through one map after the other; see ``Bijection.pull_score``."""
        for layer, point in reversed(list(self._places(state))):
            score = layer.pull_score(point, score)
        return score

    def hessian_contraction(self, state: Tensor, noise: Tensor) -> Tensor:
        """Return its Ito correction, doubled, shape of ``state``; see ``Bijection.hessian_contraction``."""
        total = torch.zeros_like(state)
        for layer, point in self._places(state):
            total = layer.push(point, total) + layer.hessian_contraction(point, noise)
            noise = layer.push(point.unsqueeze(-2), noise.mT).mT
        return total

    def _places(self, state: Tensor) -> Iterator[tuple[Bijection, Tensor]]:
        """Yield every map with the point that it is applied to; the last is not applied."""
        before: Bijection | None = None
        for layer in self.bijections:
            state = state if before is None else before.forward(state)
            yield layer, state
            before = layer

    def _reached(self, state: Tensor) -> Tensor:
        inside = REALS.contains(state)
        bounded = [layer.image is not REALS for layer in self.bijections]
        for position in range(len(bounded) - 1, -1, -1):
            layer = self.bijections[position]
            inside = inside & layer.image.contains(state)
            # What no earlier map bounds need not be carried back to it.
            if not any(bounded[:position]):
                break
            state = layer.inverse(torch.where(inside.unsqueeze(-1), state, torch.nan))
        return inside
