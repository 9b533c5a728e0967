r"""Exact variance of a particle that is pushed by a force with exponential memory, free or in a harmonic trap.

.. math:: \dot x = -k x + u(t) + \sqrt{2 D}\,\xi(t), \qquad \langle u(t)\,u(s) \rangle = c\,e^{-b |t - s|}

Only the correlation of the push enters, so active Brownian and active Ornstein-Uhlenbeck particles share it.
Everything is finite at equal rates, without a trap, and, where a limit exists, at infinite time.
"""

import torch
from torch import Tensor

__all__ = ["convolved", "decayed", "relaxed", "trapped_variance"]


def decayed(time: Tensor, rate: float) -> Tensor:
    r"""Return :math:`e^{-r t}`, one at rate zero.

    Arguments:
        time: Times :math:`t`, shape ``(...)``, may be infinite.
        rate: :math:`r`, not negative, [1 / time].
    """
    return torch.exp(-rate * time) if rate > 0 else torch.ones_like(time)


def relaxed(time: Tensor, rate: float) -> Tensor:
    r"""Return :math:`\int_0^t e^{-r s} ds`.

    Arguments:
        time: Times :math:`t`, shape ``(...)``, may be infinite.
        rate: :math:`r`, not negative, [1 / time].
    """
    return -torch.expm1(-rate * time) / rate if rate > 0 else time


def convolved(time: Tensor, first: float, second: float) -> Tensor:
    r"""Return :math:`\int_0^t e^{-a (t - s)} e^{-b s} ds`.

    Arguments:
        time: Times :math:`t`, shape ``(...)``, may be infinite.
        first: :math:`a`, not negative, [1 / time].
        second: :math:`b`, not negative, [1 / time].
    """
    slower, faster = min(first, second), max(first, second)
    value = decayed(time, slower) * relaxed(time, faster - slower)
    return torch.where(torch.isinf(time), 0.0, value) if slower > 0 else value


def trapped_variance(
    time: Tensor, *, stiffness: float, memory_rate: float, push_variance: float, diffusivity: float, initial: float
) -> Tensor:
    r"""Return the variance of the position, started apart from the push.

    .. math:: \langle x^2 \rangle = \sigma_0^2 e^{-2 k t} + 2 D \int_0^t e^{-2 k s} ds
              + \frac{2 c}{k + b} \int_0^t e^{-2 k (t - s)} \left(1 - e^{-(k + b) s}\right) ds

    It tends to :math:`D / k + c / (k (k + b))` in a trap.

    Arguments:
        time: Times :math:`t`, shape ``(...)``.
        stiffness: Rate :math:`k` of return, zero without a trap, [1 / time].
        memory_rate: :math:`b`, [1 / time].
        push_variance: :math:`c`, [length^2 / time^2].
        diffusivity: :math:`D`, [length^2 / time].
        initial: Variance :math:`\sigma_0^2` at time zero, [length^2].

    Returns:
        Shape ``(...)``, [length^2].

    Source:
        Derived. Free: Howse et al., Self-motile colloidal particles (2007).
    """
    time = torch.as_tensor(time, dtype=torch.float64)
    total = stiffness + memory_rate
    pushed = relaxed(time, 2 * stiffness) - convolved(time, 2 * stiffness, total)
    spread = 2 * diffusivity * relaxed(time, 2 * stiffness)
    return initial * decayed(time, 2 * stiffness) + spread + 2 * push_variance / total * pushed
