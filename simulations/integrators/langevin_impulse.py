r"""The Langevin impulse scheme: kicks by the force, and between them the free particle solved exactly.

.. math:: x \leftarrow x + h \varphi_1(-z)\,v + X, \qquad v \leftarrow e^{-z} v + V, \qquad z = \gamma h

with the jointly Gaussian integrals :math:`V = \sigma \int_0^h e^{-\gamma u}\,dW` and
:math:`X = \sigma \int_0^h (1 - e^{-\gamma u}) / \gamma\,dW`, where :math:`u` is the time left to the end of the step
and :math:`\sigma^2 = 2 \gamma T / m`. With :math:`\varphi_1(y) = (e^y - 1) / y` and
:math:`\varphi_{k+1}(y) = (\varphi_k(y) - 1 / k!) / y`,

.. math:: \langle V^2 \rangle = \sigma^2 h\,\varphi_1(-2z), \quad
          \langle X V \rangle = \tfrac12 \sigma^2 h^2 \varphi_1(-z)^2, \quad
          \langle X^2 \rangle = \sigma^2 h^3 \left(4 \varphi_3(-2z) - 2 \varphi_3(-z)\right)

Any square root of this covariance gives the same law. The one taken here keeps the two normals of a noise as close as
the law allows to those of ``SRA1``: the increment of the Wiener process and the rest of its time integral.
"""

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from physcore.process import Process
from simulations.integrators.langevin_splitting import LangevinSplitting
from simulations.processes.langevin import Langevin

__all__ = ["LangevinImpulse"]

SERIES_BELOW, SERIES_TERMS = 1.0, 18


@dataclasses.dataclass(frozen=True, kw_only=True)
class LangevinImpulse(LangevinSplitting):
    r"""Langevin impulse, for accurate underdamped paths at any friction; two normals for each noise a step.

    Error:
        Strong order 2 and weak order 2; exact without a force. In a harmonic trap of frequency :math:`\omega`, with
        :math:`z = \gamma h`, :math:`w = \omega h` and :math:`D = 2 z - w^2 \tanh(z / 2)`, the stationary law has

        .. math:: \langle x^2 \rangle = \frac{T}{m \omega^2} \frac{2}{z D} \left(z^2 - w^2 (1 - z / \sinh z)\right),
                  \qquad \langle x v \rangle = \frac{T h}{m D} \left(2 - z \coth(z / 2)\right)

        .. math:: \langle v^2 \rangle = \frac{T}{m} \frac{1}{2 z D} \left(4 z^2 + w^4 + w^2 z^2 \coth^2(z / 2)
                  - w^2 z\,\frac{6 \cosh z - 2 + w^2}{\sinh z}\right)

        which is derived; to second order :math:`\langle x^2 \rangle` is too large by the factor
        :math:`1 + w^2 / 12` and :math:`\langle v^2 \rangle` too small by :math:`1 - w^2 / 6`.

    Source:
        Skeel and Izaguirre, An impulse integrator for Langevin dynamics (2002); Sanz-Serna and Zygalakis, Wasserstein
        distance estimates for the distributions of numerical approximations to ergodic stochastic differential
        equations (2021), for the strong order. Departs from them: the choice of the square root is derived.
    """

    strong_order: ClassVar[float] = 2.0
    weak_order: ClassVar[float] = 2.0
    noise_type: ClassVar[str] = "additive"
    three_point: ClassVar[bool] = True

    def normals(self, process: Process) -> int:
        """Return two normals for each noise: close to the increment's and to the rest of its time integral."""
        return 2 * super().normals(process)

    def free_motion(
        self, process: Langevin, position: Tensor, velocity: Tensor, dt: float, normals: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return positions and velocities after the exact free motion; see ``LangevinSplitting.free_motion``."""
        decay = process.friction * dt
        (v1, v2), (x1, x2) = _noise_factor(decay)
        strength = math.sqrt(2 * decay * process.temperature / process.mass)
        first, second = normals.tensor_split(2, -1)
        position = torch.add(position, velocity, alpha=dt * _phi(1, -decay))
        position = position + (strength * dt * x1) * first + (strength * dt * x2) * second
        velocity = math.exp(-decay) * velocity + (strength * v1) * first + (strength * v2) * second
        return position, velocity


def _phi(order: int, value: float) -> float:
    """Return a phi-function of a number, by its series where the recurrence would cancel."""
    if abs(value) < SERIES_BELOW:
        return sum(value**n / math.factorial(n + order) for n in range(SERIES_TERMS))
    if order == 1:
        return math.expm1(value) / value
    return (_phi(order - 1, value) - 1 / math.factorial(order - 1)) / value


def _noise_factor(decay: float) -> tuple[tuple[float, float], tuple[float, float]]:
    r"""Return the square root of the covariance of :math:`V / (\sigma h^{1/2})` and :math:`X / (\sigma h^{3/2})`.

    A row each. The root is the Cholesky factor turned by the angle that brings it closest, in the mean square of what
    it multiplies, to the covariances :math:`M` with the two normals of ``SRA1``.
    """
    phi_1, phi_3 = _phi(1, -decay), _phi(3, -decay)
    v_v = _phi(1, -2 * decay)
    v_x = phi_1 * phi_1 / 2
    x_x = 4 * _phi(3, -2 * decay) - 2 * phi_3
    # M: overlaps of the kernels of V and X with 1 and with the linear Legendre polynomial of the time left.
    linear = math.sqrt(12) * (phi_3 * (1 + decay / 2) - 0.25)
    overlap = ((phi_1, linear * decay), (_phi(2, -decay), -linear))
    corner = math.sqrt(v_v)
    below = v_x / corner
    last = math.sqrt(x_x - below * below)
    straight = corner * overlap[0][0] + below * overlap[1][0] + last * overlap[1][1]
    crossed = corner * overlap[0][1] + below * overlap[1][1] - last * overlap[1][0]
    size = math.hypot(straight, crossed)
    cosine, sine = straight / size, crossed / size
    return (corner * cosine, corner * sine), (below * cosine - last * sine, below * sine + last * cosine)
