r"""Differences of scores along a continuous flow.

.. math:: \frac{dx}{dt} = v(x, t), \qquad
          \frac{d\Delta}{dt} = -\left(\frac{\partial v}{\partial x}\right)^T \Delta, \qquad
          \frac{d}{dt} \tfrac12 |\Delta|^2 = -\Delta^T \frac{\partial v}{\partial x} \Delta

for the difference :math:`\Delta = s_p - s_q` of the scores of two laws that the flow carries. The flow is a map for
every time, and :math:`\Delta` is carried by its inverse Jacobian; log-determinants cancel, so that neither a divergence
nor a matrix is needed, but one derivative backwards a step.

Source: derived, from the change of variables of scores (Robbins, Score Change of Variables, 2024) along the flow of
Chen et al., Neural ordinary differential equations (2018); Gong and Li, Interpreting diffusion score matching using
normalizing flow (2021), for the divergence that it makes of score matching.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from physcore.initial_value_problem import solved
from physcore.transform.validation import check_score

__all__ = ["CarriedDifference", "carry_score_difference"]

STATES = 4096  # carried together by one sequence of steps

Velocity = Callable[[Tensor, Tensor], Tensor]


@dataclasses.dataclass(frozen=True)
class CarriedDifference:
    r"""States and differences of scores along a flow.

    Arguments:
        state: States :math:`x_t`, shape ``(time, n, component)``.
        difference: Differences :math:`\Delta_t`, of that shape, units 1 / [state].
        gain: :math:`-\int \Delta^T (\partial v / \partial x) \Delta\,dt` since the first time, shape ``(time, n)``;
            it is what :math:`|\Delta|^2 / 2` has gained.
    """

    state: Tensor
    difference: Tensor
    gain: Tensor


def carry_score_difference(
    velocity: Velocity, state: Tensor, difference: Tensor, times: Sequence[float], *, tolerance: float = 1e-8
) -> CarriedDifference:
    """Carry states and differences of scores along a flow.

    Arguments:
        velocity: From states ``(n, component)`` and a time of shape ``()`` to velocities, each state by itself and
            differentiable by it: such as that of a ``ProbabilityFlow``.
        state: States at the first time, shape ``(n, component)``.
        difference: Difference of the scores there, of that shape.
        times: The first time, then others, increasing or decreasing.
        tolerance: Relative tolerance of the integration; the absolute one is a hundredth of it.

    Returns:
        States and differences at all the times, float64.

    Raises:
        ValueError: If shapes differ, a number is not finite, the times are not in order, or the tolerance is out of
            range.
        NumericalError: If the integration leaves the finite numbers.

    Error:
        About the tolerance; ask twice to know.

    Source: see the module.
    """
    if state.ndim != 2:
        raise ValueError(f"`state` must have shape (n, component); got {tuple(state.shape)}.")
    check_score(state, difference)
    steps = [after - before for before, after in itertools.pairwise(times)]
    if not steps or not (all(step > 0 for step in steps) or all(step < 0 for step in steps)):
        raise ValueError(f"`times` must hold two at least, increasing or decreasing; got {list(times)}.")
    if not all(math.isfinite(time) for time in times):
        raise ValueError(f"`times` must be finite; got {list(times)}.")
    if not 1e-13 <= tolerance < 1:
        raise ValueError(f"`tolerance` must be at least 1e-13 and below 1; got {tolerance}.")

    def rate(time: Tensor, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            watched = tensors[0].requires_grad_()
            speed = velocity(watched, time)
            pulled = torch.zeros_like(watched)
            if speed.requires_grad:
                (pulled,) = torch.autograd.grad((speed * tensors[1]).sum(), watched, materialize_grads=True)
        return speed, -pulled, -(tensors[1] * pulled).sum(-1)

    origin = tuple(tensor.detach().to(dtype=torch.float64, device="cpu") for tensor in (state, difference))
    parts = []
    for first in range(0, len(state), STATES):
        start = tuple(tensor[first : first + STATES].clone() for tensor in origin)
        gain = torch.zeros(len(start[0]), dtype=torch.float64)
        found = solved(rate, (*start, gain), times, tolerance, "the flow")
        ahead = ((*start, gain)[i].unsqueeze(0) for i in range(3))
        parts.append([torch.cat([before, after]) for before, after in zip(ahead, found, strict=True)])
    return CarriedDifference(*(torch.cat(column, 1) for column in zip(*parts, strict=True)))
