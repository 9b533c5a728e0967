r"""Expectations that are known in the stationary state alone."""

from collections.abc import Callable

import torch
from torch import Tensor

from physcore.known_moment import KnownMoment

__all__ = ["stationary_moment"]


def stationary_moment(name: str, observable: Callable[[Tensor], Tensor], value: float) -> KnownMoment:
    """Return an expectation that is known at infinite time and NaN before.

    Arguments:
        name: What is measured.
        observable: From states ``(..., component)`` to ``(...)``.
        value: Its exact stationary expectation.

    Returns:
        The known moment.
    """

    def expectation(time: Tensor) -> Tensor:
        late = torch.isinf(torch.as_tensor(time))
        known = torch.full(late.shape, value, dtype=torch.float64, device=late.device)
        return torch.where(late, known, torch.nan)

    return KnownMoment(name, observable, expectation)
