"""Choosing the way in which paths are stepped."""

import dataclasses

import numpy as np
import torch
from torch import Tensor

from physcore.fusion import CompilerMissing, TooLarge, Untraceable
from physcore.stepping.eager import Eager
from physcore.stepping.fused_cpu import FusedCpu
from physcore.stepping.fused_cuda import FusedCuda
from physcore.stepping.kernel_source import traced_step
from physcore.stepping.stepper import Stepper, Stepping

__all__ = ["stepper_for"]

# A larger state is traced for long and gains little: the work is in its sums, which torch does well.
LARGEST_FUSED_STATE = 1024
CHECKED_PATHS = 64
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-5}
ROUNDINGS = 10  # times the rounding of single precision


def stepper_for(stepping: Stepping, states: Tensor) -> Stepper:
    """Return a fused kernel where the step can be traced and compiled, torch elsewhere.

    Arguments:
        stepping: What is stepped and how.
        states: Some initial states, shape ``(component, path)``, on which the kernel is held against torch.
    """
    if stepping.components > LARGEST_FUSED_STATE:
        return Eager(stepping, f"{stepping.components} components")
    if stepping.device.type not in ("cpu", "cuda"):
        return Eager(stepping, f"device {stepping.device.type}")
    try:
        step = traced_step(stepping)
        fused = (FusedCpu if stepping.device.type == "cpu" else FusedCuda)(stepping, step)
    except (Untraceable, TooLarge, CompilerMissing) as reason:
        return Eager(stepping, str(reason))
    return fused if _agrees(fused, states) else Eager(stepping, "its traced step disagrees, values decide what it does")


def _agrees(fused: Stepper, states: Tensor) -> bool:
    """Return whether one step of a traced kernel does what torch does, which a drift's look at values would spoil.

    The order of rounding may differ: where steps in double say that it counts, the two may differ by as much.
    """
    stepping = fused.stepping
    start = states[:, :CHECKED_PATHS].contiguous()
    made, plain = _one_step(fused, start), _one_step(Eager(stepping, ""), start)
    if not (torch.isfinite(made).all() and torch.isfinite(plain).all()):
        return True  # nothing can be compared, and the run says so itself
    scale = torch.stack([made, plain, start]).abs().amax((0, 2)).clamp_min(torch.finfo(stepping.dtype).tiny)
    apart, allowed = (made - plain).abs().amax(1), TOLERANCE[stepping.dtype] * scale
    if stepping.dtype == torch.float32 and (apart > allowed).any():
        double = Eager(dataclasses.replace(stepping, dtype=torch.float64), "")
        allowed = allowed + ROUNDINGS * (plain - _one_step(double, start.double())).abs().amax(1)
    return bool((apart <= allowed).all())


def _one_step(stepper: Stepper, start: Tensor) -> Tensor:
    result = start.new_empty(len(start), 1, start.shape[1])
    stepper.advance(start, result, np.ones(1, np.int64), 0, 0)
    return result[:, 0]
