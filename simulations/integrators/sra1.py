r"""The stochastic Runge-Kutta scheme SRA1 of strong order 1.5.

With :math:`I_1 = \int dW = \sqrt{h}\,\xi_1` and
:math:`I_{10} = \int_t^{t+h} (W_s - W_t)\,ds = \tfrac12 h^{3/2} (\xi_1 + \xi_2 / \sqrt 3)`, for each noise,

.. math:: \hat X = X + \tfrac34 h f(X, t) + \tfrac32 G(t + h) \frac{I_{10}}{h}, \qquad
          X' = X + h \left(\tfrac13 f(X, t) + \tfrac23 f(\hat X, t + \tfrac34 h)\right)
               + G(t + h) \left(I_1 - \frac{I_{10}}{h}\right) + G(t) \frac{I_{10}}{h}
"""

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from physcore.process import Process
from simulations.integrators.scheme import Scheme

__all__ = ["SRA1"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SRA1(Scheme):
    """SRA1, for accurate single paths under additive noise; two drifts and two normals for each noise a step.

    Error:
        Strong order 1.5 and weak order 2 for additive noise, which may depend on time. On an Ornstein-Uhlenbeck
        process of rate k and diffusivity D, with z = k dt, the stationary variance is
        (D / k) (1 - z + z^2 / 3) / ((1 - z / 2) (1 - z / 2 + z^2 / 4)).

    Source:
        Roessler, Runge-Kutta methods for the strong approximation of solutions of stochastic differential equations
        (2010), section 6.2, scheme SRA1.
    """

    strong_order: ClassVar[float] = 1.5
    weak_order: ClassVar[float] = 2.0
    noise_type: ClassVar[str] = "additive"
    three_point: ClassVar[bool] = True

    def normals(self, process: Process) -> int:
        """Return two normals for each noise: the increment's, then the independent part of its time integral."""
        return 2 * super().normals(process)

    def step(self, process: Process, state: Tensor, time: Tensor, dt: float, normals: Tensor) -> Tensor:
        """Return the states one step later; see ``Scheme.step``."""
        later = time + dt
        first, second = normals.tensor_split(2, -1)
        increment = math.sqrt(dt) * first
        mean_displacement = (math.sqrt(dt) / 2) * (first + second / math.sqrt(3))
        drift = process.drift(state, time)
        inner = torch.add(state, drift, alpha=0.75 * dt) + process.diffuse(1.5 * mean_displacement, later)
        inner_drift = process.drift(inner, time + 0.75 * dt)
        moved = torch.add(torch.add(state, drift, alpha=dt / 3), inner_drift, alpha=2 * dt / 3)
        return moved + process.diffuse(increment - mean_displacement, later) + process.diffuse(mean_displacement, time)
