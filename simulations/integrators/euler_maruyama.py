r"""The Euler-Maruyama scheme.

.. math:: X_{k+1} = X_k + f(X_k, t_k)\,\Delta t + G(X_k, t_k) \sqrt{\Delta t}\,\xi_k
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
        Strong order 1 for additive noise, 1/2 for noise that depends on the state; weak order 1. On an
        Ornstein-Uhlenbeck process of rate k and diffusivity D the stationary variance is
        2 D dt / (1 - (1 - k dt)^2), too large by the factor 1 / (1 - k dt / 2).

    Source:
        Kloeden and Platen, Numerical Solution of Stochastic Differential Equations (1992), section 10.2; with
        three-point numbers the simplified weak scheme of section 14.1.
    """

    strong_order: ClassVar[float] = 1.0
    weak_order: ClassVar[float] = 1.0
    noise_type: ClassVar[str] = "general"
    three_point: ClassVar[bool] = True

    def step(self, process: Process, state: Tensor, time: Tensor, dt: float, normals: Tensor) -> Tensor:
        """Return the states one step later; see ``Scheme.step``."""
        moved = torch.add(state, process.drift(state, time), alpha=dt)
        return torch.add(moved, process.diffuse(normals, time, state), alpha=math.sqrt(dt))
