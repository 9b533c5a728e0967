r"""Curves through points, along which functions are differentiated twice.

.. math:: x(t) = x + t\,w + \tfrac12 t^2 e, \qquad
          \frac{d}{dt} f = w \cdot \nabla f, \qquad \frac{d^2}{dt^2} f = w^T H_f w + e \cdot \nabla f

With :math:`e = \operatorname{div}(w w^T)` the second derivative is that of a slicing field, and the sum of the second
derivatives along the axes is the Laplacian.

Source: Griewank and Walther, Evaluating Derivatives (2008), chapter 13, for derivatives by propagated curves; the
bend that makes them those of a slicing field is derived.
"""

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["Directions"]

ROWS = 1536  # derivatives worked on at once, whose products with some hundred kernels stay in the cache


@dataclasses.dataclass(frozen=True, kw_only=True)
class Directions:
    r"""Points, and how curves leave them.

    Arguments:
        state: Points :math:`x`, shape ``(batch, component)``.
        tangents: First derivatives :math:`w_p` of the curves, shape ``(curve, batch, component)``.
        bend: The sum :math:`e` of their second derivatives over the curves that bend, shape ``(batch, component)``.
        slopes: Of how many curves, the first, slopes are wanted.
        curved: Of how many curves, the last, the sum of second derivatives is wanted.
    """

    state: Tensor
    tangents: Tensor
    bend: Tensor
    slopes: int
    curved: int

    @classmethod
    def axes(cls, state: Tensor, *, second: bool) -> "Directions":
        """Return the straight lines along all axes, whose slopes make the gradient.

        Arguments:
            state: Points, shape ``(batch, component)``.
            second: Whether second derivatives, which sum to the Laplacian, are wanted too.
        """
        d = state.shape[-1]
        tangents = torch.eye(d, dtype=state.dtype, device=state.device).unsqueeze(1).expand(d, len(state), d)
        return cls(state=state, tangents=tangents, bend=torch.zeros_like(state), slopes=d, curved=d if second else 0)

    @property
    def curves(self) -> int:
        """Number of curves through a point."""
        return len(self.tangents)

    @property
    def turning(self) -> Tensor:
        """Tangents of the curves whose second derivatives are wanted, shape ``(curve, batch, component)``."""
        return self.tangents[self.curves - self.curved :]

    @property
    def stacked(self) -> Tensor:
        """Points, tangents and bends in one tensor, shape ``(1 + curves + 1, batch, component)``."""
        return torch.cat([self.state.unsqueeze(0), self.tangents, self.bend.unsqueeze(0)])

    @property
    def blocks(self) -> Iterator["Directions"]:
        """Parts small enough to be worked on at once."""
        size = max(1, ROWS // (self.curves + 2))
        parts = zip(
            torch.split(self.state, size),
            torch.split(self.tangents, size, 1),
            torch.split(self.bend, size),
            strict=True,
        )
        for state, tangents, bend in parts:
            yield dataclasses.replace(self, state=state, tangents=tangents, bend=bend)
