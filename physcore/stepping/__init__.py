"""Stepping blocks of paths through time, in fused kernels or by torch."""

from physcore.stepping.choice import stepper_for
from physcore.stepping.stepper import Stepper, Stepping

__all__ = ["Stepper", "Stepping", "stepper_for"]
