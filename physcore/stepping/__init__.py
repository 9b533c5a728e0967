"""Stepping blocks of paths through time, in fused kernels or by torch."""

from physcore.stepping.choice import stepper_for
from physcore.stepping.stepper import Stepper, Stepping
from physcore.stepping.threads import Threads

__all__ = ["Stepper", "Stepping", "Threads", "stepper_for"]
