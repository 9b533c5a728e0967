r"""The Euler-Maruyama scheme.

.. math:: X_{k+1} = X_k + f(X_k, t_k)\,\Delta t + G(t_k) \sqrt{\Delta t}\,\xi_k
"""

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from physcore.process import Process
from simulations.integrators.scheme import Scheme

__all__ = ["EulerMaruyama"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EulerMaruyama(Scheme):
    """Euler-Maruyama, the simplest scheme and the most general.

    Error:
        Strong order 1 for additive noise, weak order 1. On an Ornstein-Uhlenbeck process of rate k and
        diffusivity D the stationary variance is 2 D dt / (1 - (1 - k dt)^2), too large by the factor
        1 / (1 - k dt / 2).

    Source:
        Kloeden and Platen, Numerical Solution of Stochastic Differential Equations (1992), section 10.2.
    """

    strong_order: ClassVar[float] = 1.0
    weak_order: ClassVar[float] = 1.0
    noise_type: ClassVar[str] = "additive"

    def step(self, process: Process, state: Tensor, time: Tensor, dt: float, normals: Tensor) -> Tensor:
        """Return the states one step later; see ``Scheme.step``."""
        noise = process.noise_for(state, time) * math.sqrt(dt)
        moved = torch.add(state, process.drift(state, time), alpha=dt, out=torch.empty_like(state))
        # Column by column and not as a matrix product, whose rounding depends on the number of paths.
        for k in range(noise.shape[-1]):
            moved.addcmul_(normals[:, k : k + 1], noise[:, k])
        return moved
