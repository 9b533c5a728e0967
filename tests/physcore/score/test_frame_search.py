"""Frames are found as a search finds them, whatever their spacing."""

import pytest
import torch
from torch import Tensor

from physcore.score.frame_search import FrameSearch


def spaced(kind: str) -> Tensor:
    """Times of frames: evenly spaced, to float32, moved a little or much, or a single one."""
    generator = torch.Generator().manual_seed(2)
    even = 0.3 + 0.05 * torch.arange(101, dtype=torch.float64)
    shift = torch.rand(101, generator=generator, dtype=torch.float64) - 0.5
    return {
        "even": even,
        "rounded": even.float().double(),
        "moved": even + 0.04 * 0.5 * shift,
        "uneven": even + 0.05 * 0.99 * shift,
        "geometric": torch.logspace(-3, 1, 101, dtype=torch.float64),
        "two": even[:2],
        "one": even[:1],
    }[kind]


@pytest.mark.parametrize("kind", ["even", "rounded", "moved", "uneven", "geometric", "two", "one"])
def test_frames_are_those_of_a_search(kind: str) -> None:
    times = spaced(kind)
    anywhere = torch.rand(20_000, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    wanted = torch.cat(
        [
            times.min() - 1 + anywhere * (times.max() - times.min() + 2),
            *(torch.nextafter(times, torch.full_like(times, side)) for side in (-torch.inf, torch.inf)),
            times,
        ]
    )
    expected = (torch.searchsorted(times, wanted, right=True) - 1).clamp(min=0)
    assert torch.equal(FrameSearch(times).last_before(wanted), expected)
