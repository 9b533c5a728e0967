r"""The additive logistic map of space onto the simplex.

.. math:: y_i = \frac{e^{x_i}}{1 + \sum_k e^{x_k}}, \quad i = 1 \dots n, \qquad y_d = 1 - \sum_i y_i, \quad d = n + 1

The state on the simplex is its first :math:`n` parts; the last follows. With :math:`J = \mathrm{diag}(y) - y y^T`,

.. math:: J^{-1} = \mathrm{diag}(1 / y) + \frac{1}{y_d} \mathbf{1} \mathbf{1}^T, \qquad
          \log \det J = \sum_{i=1}^d \log y_i, \qquad \nabla_x \log \det J = 1 - d\,y, \\
          (H{:}A)_i = y_i \left(A_{ii} - 2 (A y)_i + 2\, y \cdot A y - \sum_k y_k A_{kk}\right)

so every product takes a number of operations proportional to :math:`n`.

Source: Aitchison, The Statistical Analysis of Compositional Data (1986), section 6.2, for the map and its determinant;
the contraction of the Hessian is derived.
"""

import dataclasses

import torch
from torch import Tensor

from physcore.transform.bijections.bijection import Bijection
from physcore.transform.region import Region

__all__ = ["AdditiveLogistic"]

SIMPLEX = Region(
    "every component must be positive and their sum below 1", lambda y: (y.amin(-1) > 0) & (1 - y.sum(-1) > 0)
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdditiveLogistic(Bijection):
    r"""The map :math:`y_i = e^{x_i} / (1 + \sum_k e^{x_k})` of space onto the open simplex.

    Error:
        A last part :math:`y_d` below the rounding of 1 is lost in the state on the simplex, which has then no inverse.
    """

    @property
    def image(self) -> Region:
        """The open simplex."""
        return SIMPLEX

    def forward(self, state: Tensor) -> Tensor:
        """Return the first parts, shape of ``state``; see ``Bijection.forward``."""
        self.check_domain(state)
        return torch.exp(state - _log_total(state))

    def inverse(self, state: Tensor) -> Tensor:
        r"""Return :math:`\log(y_i / y_d)`, shape of ``state``; see ``Bijection.inverse``."""
        self.check_image(state)
        return torch.log(state) - torch.log1p(-state.sum(-1, keepdim=True))

    def parts(self, state: Tensor) -> Tensor:
        """Return all parts of states on the simplex, the last included.

        Arguments:
            state: States on the simplex, shape ``(..., component)``.

        Returns:
            Shape ``(..., component + 1)``, with sum 1.
        """
        return torch.cat([state, 1 - state.sum(-1, keepdim=True)], -1)

    def restore(self, state: Tensor, margin: float) -> Tensor:
        """Return states that a step has carried out of the simplex to it: parts clipped from below, then divided.

        Arguments:
            state: States, shape ``(..., component)``.
            margin: Smallest part before the division, positive.

        Returns:
            Shape of ``state``, in the open simplex.

        Raises:
            ValueError: If the margin is not positive and below that of equal parts.
        """
        if not 0 < margin < 1 / (state.shape[-1] + 1):
            raise ValueError(f"`margin` must be positive and below 1 / {state.shape[-1] + 1}; got {margin}.")
        parts = self.parts(state).clamp_min(margin)
        return parts[..., :-1] / parts.sum(-1, keepdim=True)

    def log_determinant(self, state: Tensor) -> Tensor:
        """Return the sum of the logarithms of all parts, shape ``(...)``; see ``Bijection.log_determinant``."""
        self.check_domain(state)
        return state.sum(-1) - (state.shape[-1] + 1) * _log_total(state).squeeze(-1)

    def log_determinant_gradient(self, state: Tensor) -> Tensor:
        r"""Return :math:`1 - d\,y`, shape of ``state``; see ``Bijection.log_determinant_gradient``."""
        return 1 - (state.shape[-1] + 1) * torch.exp(state - _log_total(state))

    def push(self, state: Tensor, vector: Tensor) -> Tensor:
        r"""Return :math:`y (u - y \cdot u)`; see ``Bijection.push``."""
        part = torch.exp(state - _log_total(state))
        return part * (vector - (part * vector).sum(-1, keepdim=True))

    def pull(self, state: Tensor, covector: Tensor) -> Tensor:
        """Return what ``push`` returns, of a symmetric Jacobian; see ``Bijection.pull``."""
        return self.push(state, covector)

    def inverse_push(self, state: Tensor, vector: Tensor) -> Tensor:
        r"""Return :math:`v / y + \sum_k v_k / y_d`; see ``Bijection.inverse_push``."""
        total = _log_total(state)
        return vector * torch.exp(total - state) + vector.sum(-1, keepdim=True) * torch.exp(total)

    def inverse_pull(self, state: Tensor, covector: Tensor) -> Tensor:
        """Return what ``inverse_push`` returns; see ``Bijection.inverse_pull``."""
        return self.inverse_push(state, covector)

    def push_score(self, state: Tensor, score: Tensor) -> Tensor:
        r"""Return :math:`(s_i - 1) / y_i + (1 + \sum_j s_j) / y_d`; see ``Bijection.push_score``."""
        return self.carry_score(state, score)[1]

    def carry_score(self, state: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Return points and score after the map; see ``Bijection.carry_score``."""
        self.check_domain(state)
        total = _log_total(state)
        apart = total - state
        carried = (score - 1) * torch.exp(apart) + (1 + score.sum(-1, keepdim=True)) * torch.exp(total)
        return torch.exp(-apart), carried

    def return_score(self, image: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return points and score before the map, :math:`J s_y + 1 - d\,y`; see ``Bijection.return_score``."""
        along = (image * score).sum(-1, keepdim=True)
        return self.inverse(image), 1 + image * (score - along - (image.shape[-1] + 1))

    def hessian_contraction(self, state: Tensor, noise: Tensor) -> Tensor:
        """Return its Ito correction, doubled, shape of ``state``; see ``Bijection.hessian_contraction``."""
        part = torch.exp(state - _log_total(state))
        along = (part.unsqueeze(-2) @ noise).squeeze(-2)
        spread = noise.square().sum(-1)
        turned = (noise @ along.unsqueeze(-1)).squeeze(-1)
        common = 2 * along.square().sum(-1, keepdim=True) - (part * spread).sum(-1, keepdim=True)
        return part * (spread - 2 * turned + common)


def _log_total(state: Tensor) -> Tensor:
    r"""Return :math:`\log(1 + \sum_k e^{x_k}) = -\log y_d`, shape ``(..., 1)``."""
    # The last part's logarithm, zero, among the others: nothing overflows.
    return torch.logsumexp(torch.cat([state, torch.zeros_like(state[..., :1])], -1), -1, keepdim=True)
