r"""The local linearisation scheme, also called exponential Euler.

The drift is linearised at the start of every step and its flow solved exactly; with :math:`Z = h J(X, t)`,

.. math:: X' = X + \varphi_1(Z) \left(h f(X, t) + G \sqrt{h}\,\xi\right) + h^2 \varphi_2(Z)\,\partial_t f(X, t)
"""

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from physcore.process import Process
from simulations.integrators.matrix_action import act
from simulations.integrators.phi_functions import LARGEST_NORM, phi_functions
from simulations.integrators.scheme import Scheme

__all__ = ["LocalLinearization"]

SAMPLES, SEED = 1024, 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocalLinearization(Scheme):
    r"""Local linearisation, for stiff drifts: stable wherever the linearised process is.

    Error:
        Strong order 1 and weak order 1; weak order 2 where the drift is linear, and there the mean is exact if the
        drift depends on time at most linearly. The order is lost to the mean curvature
        :math:`\tfrac14 h^2 \sum_j (G_j \cdot \nabla)^2 f` that is left out. On an Ornstein-Uhlenbeck process of rate k
        and diffusivity D the stationary variance is (D / k) tanh(k dt / 2) / (k dt / 2).

    Source:
        Jimenez, Shoji and Ozaki, Simulation of stochastic differential equations through the local linearization
        method (1999). Departs from it: the noise is carried by :math:`\varphi_1`, the flow of an increment spread
        evenly over the step; the mean of the noise matrices at both ends is derived.
    """

    strong_order: ClassVar[float] = 1.0
    weak_order: ClassVar[float] = 1.0
    noise_type: ClassVar[str] = "additive"
    three_point: ClassVar[bool] = True

    def check(self, process: Process, dt: float) -> None:
        """Refuse a step over which the linearised drift grows or decays too far; see ``Scheme.check``."""
        super().check(process, dt)
        states = process.sample_initial(SAMPLES, torch.Generator().manual_seed(SEED)).double()
        jacobian = process.jacobian(states, torch.zeros((), dtype=torch.float64))
        largest = float(jacobian.abs().sum(-1).amax())
        if not largest * dt <= LARGEST_NORM:
            raise ValueError(
                f"`dt` must keep dt |J| below {LARGEST_NORM:g}, where |J| is the largest row sum of the drift's "
                f"Jacobian, here {largest:.3g} among initial states; got dt = {dt:g}. "
                f"Use dt <= {LARGEST_NORM / largest:.3g}."
            )

    def step(self, process: Process, state: Tensor, time: Tensor, dt: float, normals: Tensor) -> Tensor:
        """Return the states one step later; see ``Scheme.step``."""
        noise = process.diffuse(normals, time) + process.diffuse(normals, time + dt)
        euler = torch.add(process.drift(state, time) * dt, noise, alpha=math.sqrt(dt) / 2)
        first, second = phi_functions(process.jacobian(state, time) * dt)
        return state + act(first, euler) + act(second, process.drift_rate(state, time) * dt**2)
