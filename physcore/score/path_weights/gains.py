"""Choosing how paths of a process are weighed."""

from typing import Literal

from physcore.process import Process
from physcore.score.forms import ComponentwiseForm, LowRankForm, SharedForm, form_of
from physcore.score.path_weights.componentwise_riccati import COMPONENTWISE
from physcore.score.path_weights.dense_riccati import DENSE
from physcore.score.path_weights.linear_quadratic_targets import LinearQuadraticTargets
from physcore.score.path_weights.linear_targets import LinearTargets
from physcore.score.path_weights.low_rank_riccati import LOW_RANK
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
    form = form_of(process)
    if isinstance(form, SharedForm):
        return LinearTargets(process)
    if gain == "linear-quadratic":
        return LinearQuadraticTargets(process)
    if isinstance(form, ComponentwiseForm):
        return RiccatiTargets(process, COMPONENTWISE)
    return RiccatiTargets(process, LOW_RANK if isinstance(form, LowRankForm) else DENSE)
