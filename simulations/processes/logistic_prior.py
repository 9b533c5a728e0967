r"""A diffusion that carries data to independent logistic variables.

.. math:: dy = -\frac{\beta(t)}{2 s} \tanh\frac{y}{2 s}\,dt + \sqrt{\beta(t)}\,dW, \qquad
          \pi(y) = \prod_i \frac{1}{4 s} \operatorname{sech}^2 \frac{y_i}{2 s}

The tails of the prior are exponential and the drift is bounded; see ``prior_diffusion``.
"""

import dataclasses
import math

import torch
from torch import Tensor

from simulations.processes.prior_diffusion import PriorDiffusion
from simulations.validation import check_positive

__all__ = ["LogisticPrior"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogisticPrior(PriorDiffusion):
    r"""Noising of data into a logistic law, each coordinate by itself. Dimensionless units.

    Arguments:
        prior_scale: Scale :math:`s` of the logistic law.
        beta_start: Rate :math:`\beta_0` at time 0, [1 / time].
        beta_end: Rate :math:`\beta_1` at time 1, at least :math:`\beta_0`, [1 / time].
        data_points: Points that the data lie about, a row each, in equal shares; two half moons in the plane when None.
        data_radius: Radius of the half moons.
        data_width: Standard deviation of the data about points or half moons, in each direction.

    Raises:
        ValueError: If a parameter is out of range.

    Source:
        See ``PriorDiffusion``. The rates are those of variance-preserving diffusions; prior and data are ours.
    """

    prior_scale: float = 0.5
    beta_start: float = 0.1
    beta_end: float = 10.0
    data_points: tuple[tuple[float, ...], ...] | None = None
    data_radius: float = 1.5
    data_width: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(prior_scale=self.prior_scale)

    @property
    def prior_mean_square(self) -> float:
        r"""Exact :math:`E|y|^2 = d\,\pi^2 s^2 / 3` of the prior in :math:`d` dimensions."""
        return self.dimension * (math.pi * self.prior_scale) ** 2 / 3

    @property
    def componentwise(self) -> bool:
        """Whether each coordinate moves by itself: it does; see ``Process.componentwise``."""
        return True

    def stationary_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the prior, shape ``(...)``, of states of shape ``(..., component)``."""
        scaled = state.abs() / self.prior_scale
        # In the absolute value, of which the law is a function, so that nothing overflows.
        each = -scaled - 2 * torch.log1p(torch.exp(-scaled)) - math.log(self.prior_scale)
        return each.sum(-1)

    def stationary_score(self, state: Tensor) -> Tensor:
        """Return the score of the prior, shape of ``state``, of states of shape ``(..., component)``."""
        return -torch.tanh(state / (2 * self.prior_scale)) / self.prior_scale
