r"""Sampling a transformed process back in time, with the score learned before the map.

.. math:: Y \leftarrow Y + b_\tau(Y, t)\,h + J G \sqrt{h}\,\xi, \qquad
          b_\tau = J (-f + \operatorname{div} A + A s) + \tfrac12 H{:}A
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from physcore.errors import NumericalError
from physcore.transform.transformed_process import Score, TransformedProcess

__all__ = ["ReverseSamples", "sample_reverse"]


@dataclasses.dataclass(frozen=True)
class ReverseSamples:
    """What came back.

    Arguments:
        state: States at the last time, shape ``(paths, component)``.
        outside: Fraction of steps that left the image of the map.
    """

    state: Tensor
    outside: float


@torch.no_grad()
def sample_reverse(
    process: TransformedProcess,
    score: Score,
    state: Tensor,
    times: Sequence[float],
    generator: torch.Generator,
    *,
    restore: Callable[[Tensor], Tensor] | None = None,
) -> ReverseSamples:
    """Sample the reversed process by Euler-Maruyama steps in the space that the map leads to.

    Arguments:
        process: The process seen through the map.
        score: Score of the original process, called as ``score(x, time)``.
        state: States at the first of the times, shape ``(paths, component)``.
        times: Times to step through, decreasing.
        generator: Source of randomness.
        restore: Carries states that a step has taken out of the image back to it, called after each step; without it
            such states end the sampling.

    Returns:
        The states at the last time, and how often steps left the image.

    Raises:
        ValueError: If the times do not decrease, or a state lies outside the image.
        NumericalError: If a state leaves the image and is not restored, or is not finite; the time is named.

    Error:
        Weak order 1 in the step.
    """
    moments = [float(time) for time in times]
    if len(moments) < 2 or not all(later < earlier for earlier, later in itertools.pairwise(moments)):
        raise ValueError(f"`times` must decrease, and be at least two; got {moments[:8]}.")
    process.bijection.check_image(state)
    left = 0
    for time, following in itertools.pairwise(moments):
        at, step = torch.tensor(time, dtype=state.dtype, device=state.device), time - following
        normals = torch.randn(
            *state.shape[:-1], process.noises, generator=generator, dtype=state.dtype, device=state.device
        )
        moved = torch.add(state, process.reverse_drift(state, at, score), alpha=step)
        state = torch.add(moved, process.diffuse(normals, at, state), alpha=math.sqrt(step))
        left += int((~process.bijection.image.contains(state)).sum())
        if restore is not None:
            state = restore(state)
        wrong = ~process.bijection.image.contains(state)
        if bool(wrong.any()):
            path = int(wrong.reshape(-1).nonzero()[0])
            raise NumericalError(
                f"the state of path {path} left the image of {type(process.bijection).__name__} or the finite numbers "
                f"between time {time:g} and time {following:g}; take shorter steps, or give `restore`."
            )
    return ReverseSamples(state, left / (state[..., 0].numel() * (len(moments) - 1)))
