r"""The stochastic Heun scheme.

.. math:: \Delta W = \tfrac12 \left(G(t_k) + G(t_{k+1})\right) \sqrt{\Delta t}\,\xi_k, \qquad
          \hat X = X_k + f(X_k, t_k)\,\Delta t + \Delta W, \qquad
          X_{k+1} = \hat X + \tfrac12 \left(f(\hat X, t_{k+1}) - f(X_k, t_k)\right) \Delta t
"""

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from physcore.process import Process
from simulations.integrators.scheme import Scheme

__all__ = ["Heun"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Heun(Scheme):
    """Stochastic Heun: an Euler-Maruyama step, then the mean of the drifts at both ends; two drifts a step.

    Error:
        Strong order 1 and weak order 2 for additive noise, which may depend on time. On an Ornstein-Uhlenbeck
        process of rate k and diffusivity D the stationary variance is (D / k) / (1 + k^2 dt^2 / (4 - 2 k dt)).

    Source:
        Greiner, Strittmatter and Honerkamp, Numerical integration of stochastic differential equations (1988);
        Kloeden and Platen, Numerical Solution of Stochastic Differential Equations (1992), section 15.1. The mean of
        the two noise matrices is derived: its covariance over a step is right to third order.
    """

    strong_order: ClassVar[float] = 1.0
    weak_order: ClassVar[float] = 2.0
    noise_type: ClassVar[str] = "additive"
    three_point: ClassVar[bool] = True

    def step(self, process: Process, state: Tensor, time: Tensor, dt: float, normals: Tensor) -> Tensor:
        """Return the states one step later; see ``Scheme.step``."""
        later = time + dt
        noise = process.diffuse(normals, time) + process.diffuse(normals, later)
        drift = process.drift(state, time)
        predicted = torch.add(torch.add(state, drift, alpha=dt), noise, alpha=math.sqrt(dt) / 2)
        return torch.add(predicted, process.drift(predicted, later) - drift, alpha=dt / 2)
