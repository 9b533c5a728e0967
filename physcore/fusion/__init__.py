"""Fusion: tracing pointwise torch code into scalar programs, and compiling them for the processor at hand."""

from physcore.fusion.c_source import CFunction, c_function, mathematics
from physcore.fusion.compiler import CompilerMissing, compiled
from physcore.fusion.memory import empty, readable
from physcore.fusion.program import Program, TooLarge
from physcore.fusion.tracing import Untraceable, trace

__all__ = [
    "CFunction",
    "CompilerMissing",
    "Program",
    "TooLarge",
    "Untraceable",
    "c_function",
    "compiled",
    "empty",
    "mathematics",
    "readable",
    "trace",
]
