r"""Polar coordinates of the plane.

.. math:: r = |x|, \quad \theta = \operatorname{atan2}(x_2, x_1), \qquad
          J = \begin{pmatrix} n^T \\ t^T / r \end{pmatrix}, \quad n = (\cos\theta, \sin\theta),
          \; t = (-\sin\theta, \cos\theta), \qquad \log |\det J| = -\log r

.. math:: D^2 r[u, u] = (t \cdot u)^2 / r, \qquad D^2 \theta[u, u] = -2 (n \cdot u)(t \cdot u) / r^2

Source: derived.
"""

import dataclasses
import math

import torch
from torch import Tensor

from physcore.transform.bijections.bijection import Bijection
from physcore.transform.region import Region

__all__ = ["Polar"]

PUNCTURED = Region(
    "the point must be finite and not the origin", lambda x: (x.abs().amax(-1) > 0) & (x.abs().amax(-1) < math.inf)
)
OUTWARD = Region(
    "the radius must be positive and the angle finite", lambda y: (y[..., 0] > 0) & (y.abs().amax(-1) < math.inf)
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Polar(Bijection):
    """Radius and angle of points of the plane without the origin.

    The angle returned lies in (-pi, pi]; the inverse takes any, so that a path may wind around the origin.
    """

    dimension = 2

    @property
    def domain(self) -> Region:
        """The plane without the origin."""
        return PUNCTURED

    @property
    def image(self) -> Region:
        """Positive radii and any angle."""
        return OUTWARD

    def forward(self, state: Tensor) -> Tensor:
        """Return radius and angle, shape of ``state``; see ``Bijection.forward``."""
        self.check_domain(state)
        x, y = state.unbind(-1)
        return torch.stack([torch.hypot(x, y), torch.atan2(y, x)], -1)

    def inverse(self, state: Tensor) -> Tensor:
        """Return points of the plane, shape of ``state``; see ``Bijection.inverse``."""
        self.check_image(state)
        radius, angle = state.unbind(-1)
        return torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], -1)

    def log_determinant(self, state: Tensor) -> Tensor:
        r"""Return :math:`-\log r`, shape ``(...)``; see ``Bijection.log_determinant``."""
        self.check_domain(state)
        return -torch.log(torch.hypot(state[..., 0], state[..., 1]))

    def log_determinant_gradient(self, state: Tensor) -> Tensor:
        r"""Return :math:`-x / r^2`, shape of ``state``; see ``Bijection.log_determinant_gradient``."""
        return -state / state.square().sum(-1, keepdim=True)

    def push(self, state: Tensor, vector: Tensor) -> Tensor:
        r"""Return :math:`(n \cdot u, t \cdot u / r)`; see ``Bijection.push``."""
        radius, along, across = _parts(state, vector)
        return torch.stack([along, across / radius], -1)

    def pull(self, state: Tensor, covector: Tensor) -> Tensor:
        r"""Return :math:`n w_1 + t w_2 / r`; see ``Bijection.pull``."""
        radius = torch.hypot(state[..., 0], state[..., 1])
        return _joined(state / radius.unsqueeze(-1), covector[..., 0], covector[..., 1] / radius)

    def inverse_push(self, state: Tensor, vector: Tensor) -> Tensor:
        r"""Return :math:`n v_1 + r\,t v_2`; see ``Bijection.inverse_push``."""
        radius = torch.hypot(state[..., 0], state[..., 1])
        return _joined(state / radius.unsqueeze(-1), vector[..., 0], radius * vector[..., 1])

    def inverse_pull(self, state: Tensor, covector: Tensor) -> Tensor:
        r"""Return :math:`(n \cdot w, r\,t \cdot w)`; see ``Bijection.inverse_pull``."""
        radius, along, across = _parts(state, covector)
        return torch.stack([along, radius * across], -1)

    def carry_score(self, state: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return points and score after the map, :math:`(n \cdot s + 1 / r, r\,t \cdot s)`; see ``Bijection``."""
        radius, along, across = _parts(state, score)
        return self.forward(state), torch.stack([along + 1 / radius, radius * across], -1)

    def push_score(self, state: Tensor, score: Tensor) -> Tensor:
        r"""Return :math:`(n \cdot s + 1 / r, r\,t \cdot s)`; see ``Bijection.push_score``."""
        radius, along, across = _parts(state, score)
        return torch.stack([along + 1 / radius, radius * across], -1)

    def return_score(self, image: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return points and score before the map, :math:`n (s_r - 1 / r) + t s_\theta / r`; see ``Bijection``."""
        self.check_image(image)
        radius, angle = image.unbind(-1)
        normal = torch.stack([torch.cos(angle), torch.sin(angle)], -1)
        inward = 1 / radius
        return radius.unsqueeze(-1) * normal, _joined(normal, score[..., 0] - inward, score[..., 1] * inward)

    def hessian_contraction(self, state: Tensor, noise: Tensor) -> Tensor:
        """Return its Ito correction, doubled, shape of ``state``; see ``Bijection.hessian_contraction``."""
        radius, along, across = _parts(state.unsqueeze(-2), noise.mT)
        bent = torch.stack([across.square() / radius, -2 * along * across / radius.square()], -1)
        return bent.sum(-2)


def _parts(state: Tensor, vector: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the radius and the parts of a vector along it and across, each of shape ``(...)``."""
    radius = torch.hypot(state[..., 0], state[..., 1])
    cosine, sine = state[..., 0] / radius, state[..., 1] / radius
    along = cosine * vector[..., 0] + sine * vector[..., 1]
    return radius, along, cosine * vector[..., 1] - sine * vector[..., 0]


def _joined(normal: Tensor, along: Tensor, across: Tensor) -> Tensor:
    """Return the vector with these parts along a unit vector and across it."""
    cosine, sine = normal.unbind(-1)
    return torch.stack([cosine * along - sine * across, sine * along + cosine * across], -1)
