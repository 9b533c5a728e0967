r"""The simplified weak Taylor scheme of order 2.

With :math:`\Delta W_j = \sqrt{h}\,\xi_j`, or three-point numbers of the same moments,

.. math:: X' = X + h f + G\,\Delta W + \frac{h^2}{2} \left(\partial_t f + J f + \tfrac12 \sum_j (G_j \cdot \nabla)^2 f
          \right) + \frac{h}{2} \left(J G + \dot G\right) \Delta W

at :math:`(X, t)`, with :math:`J = \partial f / \partial x`. The derivatives of the drift are exact, by forward-mode
autodiff unless the process gives its Jacobian; :math:`h \dot G` is the difference over the step.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from physcore.process import Process
from simulations.integrators.matrix_action import act
from simulations.integrators.scheme import Scheme

__all__ = ["WeakTaylor"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeakTaylor(Scheme):
    """Weak Taylor of order 2, the expansion that the derivative-free schemes imitate.

    Error:
        Strong order 1 and weak order 2 for additive noise, which may depend on time. On an Ornstein-Uhlenbeck
        process its law is that of ``Heun``.

    Source:
        Kloeden and Platen, Numerical Solution of Stochastic Differential Equations (1992), section 14.2, the
        simplified scheme, for additive noise.
    """

    strong_order: ClassVar[float] = 1.0
    weak_order: ClassVar[float] = 2.0
    noise_type: ClassVar[str] = "additive"
    three_point: ClassVar[bool] = True

    def step(self, process: Process, state: Tensor, time: Tensor, dt: float, normals: Tensor) -> Tensor:
        """Return the states one step later; see ``Scheme.step``."""
        before, after = process.noise_for(state, time), process.noise_for(state, time + dt)
        euler = process.drift(state, time) * dt + act((before + after) * (math.sqrt(dt) / 2), normals)
        second = _along(process, time, euler)(state) + dt * process.drift_rate(state, time)
        for j in range(before.shape[-1]):
            column = before[:, j].expand_as(state).contiguous()
            curvature: Tensor = torch.func.jvp(_along(process, time, column), (state,), (column,))[1]
            second = torch.add(second, curvature, alpha=dt / 2)
        return torch.add(state + euler, second, alpha=dt / 2)


def _along(process: Process, time: Tensor, direction: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the derivative of the drift along a direction, as a function of the states."""
    # A Jacobian in closed form spares one of the nested derivatives; one by autodiff costs a derivative for each
    # component, where one along the direction is enough.
    closed_form = type(process).jacobian is not Process.jacobian

    def slope(state: Tensor) -> Tensor:
        if closed_form:
            return act(process.jacobian(state, time), direction)
        tangent: Tensor = torch.func.jvp(lambda point: process.drift(point, time), (state,), (direction,))[1]
        return tangent

    return slope
