"""Choosing how paths of a process are weighed."""

from typing import Literal

from physcore.process import Process
from physcore.score.linearization import LocalLinearization
from physcore.score.path_weights.linear_quadratic_targets import LinearQuadraticTargets
from physcore.score.path_weights.linear_targets import LinearTargets
from physcore.score.path_weights.path_targets import PathTargets
from physcore.score.path_weights.riccati_targets import RiccatiTargets

__all__ = ["Gain", "path_targets"]

Gain = Literal["riccati", "linear-quadratic"]


def path_targets(process: Process, gain: Gain) -> PathTargets:
    """Return what makes targets along paths of a process: by a gain, or as they are known where it is linear.

    Arguments:
        process: The process.
        gain: The gain.
    """
    if LocalLinearization(process).same_everywhere:
        return LinearTargets(process)
    return RiccatiTargets(process) if gain == "riccati" else LinearQuadraticTargets(process)
