r"""Fisher divergence of two laws that a flow carries.

.. math:: \frac{dx}{dt} = v(x, t), \qquad F(t) = \tfrac12 E_{q_t}\left|s_{p_t} - s_{q_t}\right|^2, \qquad
          \frac{dF}{dt} = -E_{q_t}\left[\Delta^T \frac{\partial v}{\partial x} \Delta\right], \qquad
          \Delta = s_{p_t} - s_{q_t}

Only the strain, the symmetric part of the gradient, changes it: rotations keep it, :math:`v = a x` gives
:math:`F(0)\,e^{-2 a t}`, and :math:`|d \log F / dt|` is at most twice the largest strain.

Source: derived; the equivalence with diffusion score matching: Gong and Li, Interpreting diffusion score matching using
normalizing flow (2021).
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from physcore.transform.continuous_flow import CarriedDifference, carry_score_difference

__all__ = ["fisher_divergence_along_flow"]

FINER = 0.01  # of the tolerance, for the solution that is returned


def fisher_divergence_along_flow(
    velocity: Callable[[Tensor, Tensor], Tensor],
    state: Tensor,
    difference: Tensor,
    times: Sequence[float],
    *,
    tolerance: float = 1e-8,
) -> xr.Dataset:
    r"""Return the Fisher divergence along a flow, from samples and differences of scores at its begin.

    Arguments:
        velocity: From states ``(n, component)`` and a time of shape ``()`` to velocities, such as that of a
            ``physcore.reverse.ProbabilityFlow``.
        state: Independent samples of the law :math:`q` at the first time, shape ``(n, component)``, two at least.
        difference: Difference :math:`s_p - s_q` of the scores there, of that shape.
        times: The first time, then others, increasing or decreasing.
        tolerance: Relative tolerance of the integration.

    Returns:
        Dataset with dimension ``time``: ``value`` with ``standard_error`` over the samples; ``gain``, what it has
        gained since the first time as the integral of its ``rate`` has it, with their standard errors; and
        ``integration_error``.

    Raises:
        ValueError: If shapes differ, a number is not finite, there are fewer than two samples, or the times are not in
            order.
        NumericalError: If the integration leaves the finite numbers.

    Error:
        ``integration_error`` is the difference from a solution of a hundred times the tolerance; that of ``value``,
        whose tolerance is the smaller, is less.

    Source: see the module.
    """
    if len(state) < 2:
        raise ValueError(f"`state` must hold 2 samples at least; got {len(state)}.")
    finer = max(FINER * tolerance, 1e-13)
    carried = carry_score_difference(velocity, state, difference, times, tolerance=finer)
    coarse = carry_score_difference(velocity, state, difference, times, tolerance=max(tolerance, 10 * finer))
    columns = {
        "value": (_halves(carried), "Fisher divergence"),
        "gain": (carried.gain, "integral of the rate since the first time"),
        "rate": (_rates(velocity, carried, times), "rate of change of the Fisher divergence"),
    }
    variables = {}
    for name, (values, title) in columns.items():
        prefix = "" if name == "value" else f"{name}_"
        error = values.std(1) / values.shape[1] ** 0.5
        variables[name] = ("time", values.mean(1).numpy(), {"long_name": title})
        variables[f"{prefix}standard_error"] = ("time", error.numpy(), {"long_name": f"standard error of {name}"})
    apart = (_halves(carried).mean(1) - _halves(coarse).mean(1)).abs()
    variables["integration_error"] = ("time", apart.numpy(), {"long_name": "error of the integration"})
    return xr.Dataset(variables, {"time": np.asarray(times, dtype=np.float64)}, {"samples": len(state)})


def _halves(carried: CarriedDifference) -> Tensor:
    return 0.5 * carried.difference.square().sum(-1)


def _rates(velocity: Callable[[Tensor, Tensor], Tensor], carried: CarriedDifference, times: Sequence[float]) -> Tensor:
    """Return the rate of each sample at each time, shape ``(time, n)``."""
    rows = []
    for time, state, difference in zip(times, carried.state, carried.difference, strict=True):
        with torch.enable_grad():
            watched = state.detach().requires_grad_()
            speed = velocity(watched, torch.tensor(time, dtype=torch.float64))
            pulled = torch.zeros_like(watched)
            if speed.requires_grad:
                (pulled,) = torch.autograd.grad((speed * difference).sum(), watched, materialize_grads=True)
        rows.append(-(difference * pulled).sum(-1))
    return torch.stack(rows)
