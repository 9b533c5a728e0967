"""Ordinary differential equations of tensors, solved by adaptive steps.

The states of a problem share their steps, whose size follows the hardest of them.

Source: Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I (1993), section II.5, the method of
Dormand and Prince of order 8 as scipy has it.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import scipy.integrate
import torch
from numpy.typing import NDArray
from torch import Tensor

from physcore.errors import NumericalError

__all__ = ["solved"]

Tensors = tuple[Tensor, ...]

LARGEST = 1e30  # beyond it a step went too far: it is not asked for its rate, and tried again shorter


def solved(
    rate: Callable[[Tensor, Tensors], Tensors], start: Tensors, times: Sequence[float], tolerance: float, name: str
) -> Tensors:
    """Return the solution of an initial value problem.

    Arguments:
        rate: From a time of shape ``()`` and tensors to their rates of change, of the same shapes.
        start: Tensors at the first time, float64 on the CPU.
        times: The first time, then those wanted, increasing or decreasing.
        tolerance: Relative tolerance; the absolute one is a hundredth of it.
        name: What is solved, for messages.

    Returns:
        The tensors at the times after the first, with these on a new first axis.

    Raises:
        NumericalError: If the solution leaves the finite numbers or the steps become too small.

    Error:
        The tolerance, in each step; what becomes of it follows the problem.
    """
    shapes = [tensor.shape for tensor in start]
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]

    def packed(tensors: Tensors) -> NDArray[np.float64]:
        return np.concatenate([tensor.detach().numpy().ravel() for tensor in tensors])

    def slope(time: float, flat: NDArray[np.float64]) -> NDArray[np.float64]:
        if not np.abs(flat).max(initial=0.0) < LARGEST:
            return np.full_like(flat, np.nan)
        parts = (
            torch.from_numpy(part).reshape(shape) for part, shape in zip(np.split(flat, ends), shapes, strict=True)
        )
        return packed(rate(torch.tensor(time, dtype=torch.float64), tuple(parts)))

    span, wanted = (times[0], times[-1]), list(times[1:])
    solution = scipy.integrate.solve_ivp(
        slope, span, packed(start), method="DOP853", t_eval=wanted, rtol=tolerance, atol=tolerance / 100
    )
    if not solution.success or not np.isfinite(solution.y).all():
        raise NumericalError(f"{name} broke off between {span[0]:g} and {span[1]:g}: {solution.message}")
    parts = np.split(solution.y.T, ends, axis=1)
    return tuple(
        torch.from_numpy(part.copy()).reshape(len(wanted), *shape) for part, shape in zip(parts, shapes, strict=True)
    )
