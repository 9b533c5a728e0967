r"""The inverse of a map as a map.

.. math:: \psi = \phi^{-1}, \qquad D^2 \psi[v, v] = -J^{-1} D^2 \phi[J^{-1} v, J^{-1} v]

Source: derived, by differentiating :math:`\phi(\psi(y)) = y` twice.
"""

import dataclasses

from torch import Tensor

from physcore.transform.bijections.bijection import Bijection
from physcore.transform.region import Region

__all__ = ["Inverted"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inverted(Bijection):
    """The inverse of a map.

    Arguments:
        bijection: The map.
    """

    bijection: Bijection

    def __post_init__(self) -> None:
        object.__setattr__(self, "dimension", self.bijection.dimension)

    @property
    def domain(self) -> Region:
        """The image of the map."""
        return self.bijection.image

    @property
    def image(self) -> Region:
        """The domain of the map."""
        return self.bijection.domain

    @property
    def layers(self) -> tuple[Bijection, ...]:
        """The inverses of its layers, the last first; see ``Bijection.layers``."""
        layers = self.bijection.layers
        return (self,) if len(layers) == 1 else tuple(Inverted(bijection=layer) for layer in reversed(layers))

    def forward(self, state: Tensor) -> Tensor:
        """Return the inverse of the map, shape of ``state``; see ``Bijection.forward``."""
        return self.bijection.inverse(state)

    def inverse(self, state: Tensor) -> Tensor:
        """Return the map, shape of ``state``; see ``Bijection.inverse``."""
        return self.bijection.forward(state)

    def log_determinant(self, state: Tensor) -> Tensor:
        """Return minus that of the map, shape ``(...)``; see ``Bijection.log_determinant``."""
        return -self.bijection.log_determinant(self.bijection.inverse(state))

    def log_determinant_gradient(self, state: Tensor) -> Tensor:
        """Return its gradient, shape of ``state``; see ``Bijection.log_determinant_gradient``."""
        origin = self.bijection.inverse(state)
        return -self.bijection.inverse_pull(origin, self.bijection.log_determinant_gradient(origin))

    def push(self, state: Tensor, vector: Tensor) -> Tensor:
        """Return the product with the Jacobian, that with the inverse one of the map; see ``Bijection.push``."""
        return self.bijection.inverse_push(self.bijection.inverse(state), vector)

    def pull(self, state: Tensor, covector: Tensor) -> Tensor:
        """Return the transposed product; see ``Bijection.pull``."""
        return self.bijection.inverse_pull(self.bijection.inverse(state), covector)

    def inverse_push(self, state: Tensor, vector: Tensor) -> Tensor:
        """Return the product with the Jacobian of the map; see ``Bijection.inverse_push``."""
        return self.bijection.push(self.bijection.inverse(state), vector)

    def inverse_pull(self, state: Tensor, covector: Tensor) -> Tensor:
        """Return the transposed product with the Jacobian of the map; see ``Bijection.inverse_pull``."""
        return self.bijection.pull(self.bijection.inverse(state), covector)

    def push_score(self, state: Tensor, score: Tensor) -> Tensor:
        """Return the score before the map, layer by layer, the last first; see ``Bijection.push_score``."""
        return self.bijection.return_score(state, score)[1]

    def carry_score(self, state: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Return points and score before the map; see ``Bijection.carry_score``."""
        return self.bijection.return_score(state, score)

    def return_score(self, image: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Return points and score after the map; see ``Bijection.return_score``."""
        return self.bijection.carry_score(image, score)

    def pull_score(self, state: Tensor, score: Tensor) -> Tensor:
        """Return the score after the map, shape of ``state``; see ``Bijection.pull_score``."""
        return self.bijection.push_score(self.bijection.inverse(state), score)

    def hessian_contraction(self, state: Tensor, noise: Tensor) -> Tensor:
        """Return its Ito correction, doubled, shape of ``state``; see ``Bijection.hessian_contraction``."""
        origin = self.bijection.inverse(state)
        carried = self.bijection.inverse_push(origin.unsqueeze(-2), noise.mT).mT
        return -self.bijection.inverse_push(origin, self.bijection.hessian_contraction(origin, carried))
