"""The last frame at or before a time."""

import torch
from torch import Tensor

__all__ = ["FrameSearch"]

LARGEST_SHIFT = 0.25  # of a frame off its even place, in spacings


class FrameSearch:
    """Finds frames, by computing their places where they are evenly spaced: several times sooner than a search.

    Arguments:
        times: Times of the frames, ascending, float64, shape ``(frame,)``.
    """

    def __init__(self, times: Tensor) -> None:
        self._times, self._last = times, len(times) - 1
        self._spacing = float(times[-1] - times[0]) / max(1, self._last)
        even = torch.lerp(times[0], times[-1], torch.linspace(0, 1, len(times)).to(times))
        self._evenly = bool((times - even).abs().max() < LARGEST_SHIFT * self._spacing)

    def last_before(self, time: Tensor) -> Tensor:
        """Return the index of the last frame that is not later, the first frame where none is.

        Arguments:
            time: Times, float64, any shape.
        """
        if not self._evenly:
            return torch.searchsorted(self._times, time, right=True).sub_(1).clamp_(min=0)
        # The place is off by a frame at most, which the frames beside it show.
        place = ((time - self._times[0]) / self._spacing).long().clamp_(0, self._last)
        place -= (self._times[place] > time).long()
        after = (place + 1).clamp_(max=self._last)
        return torch.where(self._times[after] <= time, after, place).clamp_(min=0)
