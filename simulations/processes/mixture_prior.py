r"""A diffusion that carries data to a mixture of Gaussians.

.. math:: dy = \tfrac12 \beta(t) \sum_k r_k(y) \frac{\mu_k - y}{\sigma^2}\,dt + \sqrt{\beta(t)}\,dW

The share :math:`r_k` of a mode is its part of the density at :math:`y`; see ``physcore.mixture`` and
``prior_diffusion``.
"""

import dataclasses
import functools

from torch import Tensor

from physcore.low_rank import IdentityPlusLowRank
from physcore.mixture import GaussianMixture
from simulations.processes.prior_diffusion import PriorDiffusion
from simulations.validation import check_positive

__all__ = ["MixturePrior"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixturePrior(PriorDiffusion):
    r"""Noising of data into a mixture of equally weighted Gaussians. Dimensionless units.

    The law is carried between well separated modes ever more slowly; the default ones overlap.

    Arguments:
        prior_means: Centres :math:`\mu_k` of the modes.
        prior_width: Standard deviation :math:`\sigma` of each mode in each direction.
        beta_start: Rate :math:`\beta_0` at time 0, [1 / time].
        beta_end: Rate :math:`\beta_1` at time 1, at least :math:`\beta_0`, [1 / time].
        data_points: Points that the data lie about, a row each, in equal shares; two half moons in the plane when None.
        data_radius: Radius of the half moons.
        data_width: Standard deviation of the data about points or half moons, in each direction.

    Raises:
        ValueError: If modes and data differ in their number of coordinates or another parameter is out of range.

    Source:
        See ``PriorDiffusion``. The rates are those of variance-preserving diffusions; prior and data are ours.
    """

    prior_means: tuple[tuple[float, ...], ...] = ((-1.5, 0.0), (1.5, 0.0))
    prior_width: float = 0.75
    beta_start: float = 0.1
    beta_end: float = 10.0
    data_points: tuple[tuple[float, ...], ...] | None = None
    data_radius: float = 1.5
    data_width: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(prior_width=self.prior_width)
        object.__setattr__(self, "prior_means", self.prior.means)
        if self.prior.dimension != self.initial_law.dimension:
            raise ValueError(
                f"`prior_means` must have {self.initial_law.dimension} coordinates each, as the data; "
                f"got {self.prior.dimension}."
            )

    @functools.cached_property
    def prior(self) -> GaussianMixture:
        r"""The prior :math:`\pi`."""
        return GaussianMixture(means=self.prior_means, width=self.prior_width)

    @property
    def prior_mean_square(self) -> float:
        r"""Exact :math:`E|y|^2` of the prior."""
        return self.prior.mean_square

    def stationary_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the prior, shape ``(...)``, of states of shape ``(..., component)``."""
        return self.prior.log_density(state)

    def stationary_score(self, state: Tensor) -> Tensor:
        """Return the score of the prior, shape of ``state``, of states of shape ``(..., component)``."""
        return self.prior.score(state)

    def low_rank_jacobian(self, state: Tensor, time: Tensor) -> IdentityPlusLowRank:
        """Return the Jacobian of the drift, of rank lower than there are modes; see ``Process.low_rank_jacobian``."""
        rate = 0.5 * self.rate(time).to(state.dtype)
        return self.prior.score_jacobian(state).scaled(rate.expand(len(state)))
