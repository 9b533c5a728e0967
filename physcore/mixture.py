r"""Mixtures of isotropic Gaussians: laws with several modes whose density and score are known.

.. math:: q(x) = \sum_k w_k\,N(x; \mu_k, \sigma^2 I), \qquad
          s(x) = \sum_k r_k(x) \frac{\mu_k - x}{\sigma^2}, \qquad r_k \propto w_k\,e^{-|x - \mu_k|^2 / 2 \sigma^2}
"""

import dataclasses
import math

import torch
from torch import Tensor

from physcore.low_rank import IdentityPlusLowRank

__all__ = ["GaussianMixture"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GaussianMixture:
    r"""A mixture of Gaussians of one width.

    Arguments:
        means: Centres :math:`\mu_k`, a row for each component of the mixture.
        width: Standard deviation :math:`\sigma` of each in each direction.
        weights: Weights :math:`w_k`, positive with sum 1; equal when None.

    Raises:
        ValueError: If the rows differ in length, the width is not positive, or the weights do not fit.

    Source:
        McLachlan and Peel, Finite Mixture Models (2000), chapter 3.
    """

    means: tuple[tuple[float, ...], ...]
    width: float
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        means = tuple(tuple(map(float, row)) for row in self.means)
        if not means or not means[0] or len({len(row) for row in means}) != 1:
            raise ValueError(f"`means` must be rows of equal length, at least one; got {self.means!r}.")
        if not all(math.isfinite(entry) for row in means for entry in row):
            raise ValueError(f"`means` must be finite; got {self.means!r}.")
        if not (self.width > 0 and math.isfinite(self.width)):
            raise ValueError(f"`width` must be positive and finite; got {self.width}.")
        weights = (1 / len(means),) * len(means) if self.weights is None else tuple(map(float, self.weights))
        if len(weights) != len(means) or not all(w > 0 for w in weights) or abs(math.fsum(weights) - 1) > 1e-9:
            raise ValueError(f"`weights` must be {len(means)} positive numbers with sum 1; got {self.weights!r}.")
        object.__setattr__(self, "means", means)
        object.__setattr__(self, "weights", weights)

    @property
    def dimension(self) -> int:
        """Number of components of the state."""
        return len(self.means[0])

    @property
    def mean_square(self) -> float:
        r"""Exact :math:`E|x|^2`."""
        squares = [sum(entry**2 for entry in row) for row in self.means]
        centres = math.fsum(weight * square for weight, square in zip(self._weights, squares, strict=True))
        return self.dimension * self.width**2 + centres

    def log_density(self, state: Tensor) -> Tensor:
        """Return the log density, shape ``(...)``, of states of shape ``(..., component)``."""
        norm = 0.5 * self.dimension * math.log(2 * math.pi * self.width**2)
        return torch.logsumexp(self._exponents(state), -1) - norm

    def score(self, state: Tensor) -> Tensor:
        """Return the score, shape of ``state``, of states of shape ``(..., component)``."""
        shares = torch.softmax(self._exponents(state), -1)
        pull = -state
        # Term by term and not as a matrix product, whose rounding depends on the number of states.
        for k in range(len(self.means)):
            pull = pull + shares[..., k : k + 1] * self._mean(k, state)
        return pull / self.width**2

    def score_jacobian(self, state: Tensor) -> IdentityPlusLowRank:
        r"""Return the derivative of the score, :math:`-I / \sigma^2 + C / \sigma^4`, at states ``(batch, component)``.

        :math:`C = \sum_k r_k (\mu_k - \bar\mu)(\mu_k - \bar\mu)^T`, the spread of the centres as a state sees
        them, has a lower rank than there are centres.
        """
        shares = torch.softmax(self._exponents(state), -1)
        means = torch.tensor(self.means, dtype=state.dtype, device=state.device)
        # A share that is nothing has a root without a slope.
        roots = shares.clamp(min=torch.finfo(shares.dtype).tiny).sqrt()
        spread = roots.unsqueeze(-1) * (means - (shares @ means).unsqueeze(-2))
        rest = state.new_full((len(state),), -1 / self.width**2)
        return IdentityPlusLowRank.of_gram(rest, spread, torch.full_like(rest, 1 / self.width**4))

    def sample(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw independent points.

        Arguments:
            paths: Number of points.
            generator: Source of randomness.

        Returns:
            Shape ``(paths, component)``, float64.
        """
        weights, means = (torch.tensor(value, dtype=torch.float64) for value in (self._weights, self.means))
        chosen = torch.multinomial(weights, paths, replacement=True, generator=generator)
        white = torch.randn(paths, self.dimension, generator=generator, dtype=torch.float64)
        return means[chosen] + self.width * white

    @property
    def _weights(self) -> tuple[float, ...]:
        return self.weights or ()

    def _mean(self, k: int, state: Tensor) -> Tensor:
        return torch.tensor(self.means[k], dtype=state.dtype, device=state.device)

    def _exponents(self, state: Tensor) -> Tensor:
        """Return log of weight times Gaussian factor of each component of the mixture, shape ``(..., mode)``."""
        exponents = []
        for k, weight in enumerate(self._weights):
            distance = state - self._mean(k, state)
            exponents.append(math.log(weight) - (distance * distance).sum(-1) / (2 * self.width**2))
        return torch.stack(exponents, -1)
