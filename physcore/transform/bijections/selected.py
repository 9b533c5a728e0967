r"""A map of some components, the others left as they are.

.. math:: y_S = \psi(x_S), \qquad y_i = x_i \ \text{ for } i \notin S, \qquad \log |\det J| = \log |\det J_\psi(x_S)|
"""

import dataclasses

import torch
from torch import Tensor

from physcore.transform.bijections.bijection import Bijection
from physcore.transform.region import REALS, Region

__all__ = ["Selected"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Selected(Bijection):
    r"""A map :math:`\psi` of some components, such as the polar coordinates of a position beside an angle.

    Arguments:
        bijection: The map :math:`\psi`.
        components: Indices :math:`S` of the components that it is given, in its own order.

    Raises:
        ValueError: If an index is negative or stands twice, or there are not as many as the map has components.
    """

    bijection: Bijection
    components: tuple[int, ...]

    def __post_init__(self) -> None:
        chosen = tuple(self.components)
        if not chosen or min(chosen) < 0 or len(set(chosen)) < len(chosen):
            raise ValueError(f"`components` must be different indices from 0 on; got {list(chosen)}.")
        if self.bijection.dimension not in (None, len(chosen)):
            raise ValueError(
                f"`components` must be {self.bijection.dimension}, as many as the map has; got {list(chosen)}."
            )
        object.__setattr__(self, "components", chosen)

    @property
    def domain(self) -> Region:
        """Where the map is defined in its components."""
        return self._extended(self.bijection.domain)

    @property
    def image(self) -> Region:
        """Where the map leads in its components."""
        return self._extended(self.bijection.image)

    def check_dimension(self, state: Tensor) -> None:
        """Refuse states that lack a component; see ``Bijection.check_dimension``."""
        if state.ndim < 1 or state.shape[-1] <= max(self.components):
            raise ValueError(
                f"`state` of Selected must have more than {max(self.components)} components on its last axis; "
                f"got shape {tuple(state.shape)}."
            )

    def forward(self, state: Tensor) -> Tensor:
        """Return the mapped components among the others, shape of ``state``; see ``Bijection.forward``."""
        self.check_dimension(state)
        return self._put(state, self.bijection.forward(self._taken(state)))

    def inverse(self, state: Tensor) -> Tensor:
        """Return the components before the map among the others; see ``Bijection.inverse``."""
        self.check_dimension(state)
        return self._put(state, self.bijection.inverse(self._taken(state)))

    def log_determinant(self, state: Tensor) -> Tensor:
        """Return that of the map, shape ``(...)``; see ``Bijection.log_determinant``."""
        self.check_dimension(state)
        return self.bijection.log_determinant(self._taken(state))

    def log_determinant_gradient(self, state: Tensor) -> Tensor:
        """Return that of the map, zero elsewhere; see ``Bijection.log_determinant_gradient``."""
        return self._put(torch.zeros_like(state), self.bijection.log_determinant_gradient(self._taken(state)))

    def push(self, state: Tensor, vector: Tensor) -> Tensor:
        """Return the product with the Jacobian; see ``Bijection.push``."""
        return self._put(vector, self.bijection.push(self._taken(state), self._taken(vector)))

    def pull(self, state: Tensor, covector: Tensor) -> Tensor:
        """Return the product with the transposed Jacobian; see ``Bijection.pull``."""
        return self._put(covector, self.bijection.pull(self._taken(state), self._taken(covector)))

    def inverse_push(self, state: Tensor, vector: Tensor) -> Tensor:
        """Return the product with the inverse Jacobian; see ``Bijection.inverse_push``."""
        return self._put(vector, self.bijection.inverse_push(self._taken(state), self._taken(vector)))

    def inverse_pull(self, state: Tensor, covector: Tensor) -> Tensor:
        """Return the product with the transposed inverse Jacobian; see ``Bijection.inverse_pull``."""
        return self._put(covector, self.bijection.inverse_pull(self._taken(state), self._taken(covector)))

    def push_score(self, state: Tensor, score: Tensor) -> Tensor:
        """Return the score after the map; see ``Bijection.push_score``."""
        return self._put(score, self.bijection.push_score(self._taken(state), self._taken(score)))

    def pull_score(self, state: Tensor, score: Tensor) -> Tensor:
        """Return the score before the map; see ``Bijection.pull_score``."""
        return self._put(score, self.bijection.pull_score(self._taken(state), self._taken(score)))

    def carry_score(self, state: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Return points and score after the map; see ``Bijection.carry_score``."""
        self.check_dimension(state)
        image, carried = self.bijection.carry_score(self._taken(state), self._taken(score))
        return self._put(state, image), self._put(score, carried)

    def return_score(self, image: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Return points and score before the map; see ``Bijection.return_score``."""
        self.check_dimension(image)
        origin, back = self.bijection.return_score(self._taken(image), self._taken(score))
        return self._put(image, origin), self._put(score, back)

    def hessian_contraction(self, state: Tensor, noise: Tensor) -> Tensor:
        """Return that of the map, zero elsewhere; see ``Bijection.hessian_contraction``."""
        bent = self.bijection.hessian_contraction(self._taken(state), self._taken(noise.mT).mT)
        return self._put(torch.zeros_like(state), bent)

    def _taken(self, state: Tensor) -> Tensor:
        return torch.stack([state[..., k] for k in self.components], -1)

    def _put(self, state: Tensor, values: Tensor) -> Tensor:
        """Return states with their selected components replaced."""
        columns = list(torch.broadcast_to(state, (*values.shape[:-1], state.shape[-1])).unbind(-1))
        for k, column in zip(self.components, values.unbind(-1), strict=True):
            columns[k] = column
        return torch.stack(columns, -1)

    def _extended(self, region: Region) -> Region:
        if region is REALS:
            return REALS
        described = f"of the components {list(self.components)} {region.description}, and {REALS.description}"
        return Region(described, lambda state: region.contains(self._taken(state)) & REALS.contains(state))
