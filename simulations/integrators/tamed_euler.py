r"""The tamed Euler scheme for drifts that grow faster than linearly.

.. math:: X_{k+1} = X_k + \frac{f(X_k, t_k)\,\Delta t}{1 + \Delta t\,|f(X_k, t_k)|} + G(t_k) \sqrt{\Delta t}\,\xi_k

with the Euclidean norm over the components: in one step the drift moves a path by less than 1, in the units of the
state.
"""

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from physcore.process import Process
from simulations.integrators.scheme import Scheme

__all__ = ["TamedEuler"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TamedEuler(Scheme):
    """Tamed Euler: finite where Euler-Maruyama explodes, as for a cubic restoring force and a rare large excursion.

    Error:
        Strong order 1 and weak order 1 for additive noise, with a constant larger than Euler-Maruyama's wherever the
        drift moves a path by an appreciable part of 1 in a step; the stationary law comes out too broad.

    Source:
        Hutzenthaler, Jentzen and Kloeden, Strong convergence of an explicit numerical method for SDEs with nonglobally
        Lipschitz continuous coefficients (2012), equation 4; strong order 1/2 there, 1 where the noise is additive.
    """

    strong_order: ClassVar[float] = 1.0
    weak_order: ClassVar[float] = 1.0
    noise_type: ClassVar[str] = "additive"
    three_point: ClassVar[bool] = True

    def step(self, process: Process, state: Tensor, time: Tensor, dt: float, normals: Tensor) -> Tensor:
        """Return the states one step later; see ``Scheme.step``."""
        drift = process.drift(state, time)
        square = drift[..., :1] * drift[..., :1]
        for i in range(1, drift.shape[-1]):
            square = square + drift[..., i : i + 1] * drift[..., i : i + 1]
        moved = state + drift * dt / (1 + dt * square.sqrt())
        return torch.add(moved, process.diffuse(normals, time), alpha=math.sqrt(dt))
