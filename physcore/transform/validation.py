"""Checks of the parameters of maps and of what is carried through them."""

import math

from torch import Tensor

from physcore.transform.region import finite

__all__ = ["check_scale", "check_score"]


def check_scale(scale: float) -> None:
    """Refuse a scale that is not positive and finite.

    Arguments:
        scale: The scale.

    Raises:
        ValueError: If it is not.
    """
    if not (scale > 0 and math.isfinite(scale)):
        raise ValueError(f"`scale` must be positive and finite; got {scale}.")


def check_score(state: Tensor, score: Tensor) -> None:
    """Refuse a score that does not belong to the states, or numbers that are not finite.

    Arguments:
        state: States, shape ``(..., component)``.
        score: The score there, shape of ``state``.

    Raises:
        ValueError: If the shapes differ or a number is not finite.
    """
    if score.shape != state.shape:
        raise ValueError(f"`score` must have the shape of `state`, {tuple(state.shape)}; got {tuple(score.shape)}.")
    for name, value in (("state", state), ("score", score)):
        if not finite(value):
            place = tuple((~value.isfinite()).nonzero()[0].tolist())
            raise ValueError(f"`{name}` must be finite; got {float(value[place])} at index {place}.")
