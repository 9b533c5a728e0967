"""Stepping by torch, for steps that no fused kernel can hold: matrix products, networks, neighbour lists."""

import ctypes
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from physcore.fusion import CompilerMissing, compiled
from physcore.stepping.kernel_source import normals_source
from physcore.stepping.stepper import Stepper, Stepping
from physcore.streams import Streams

__all__ = ["Eager"]

LARGEST_BUFFER = 4_000_000  # normals drawn at once
MOST_STEPS = 64


class Eager(Stepper):
    """Steps computed by torch, with the same random numbers as the fused kernels.

    Arguments:
        stepping: What is stepped and how.
        reason: Why no fused kernel computes it.
    """

    def __init__(self, stepping: Stepping, reason: str) -> None:
        self.stepping = stepping
        self.way = f"torch, step by step ({reason})"
        self._count = stepping.normals
        self._normals = _source_of_normals(stepping.streams, self._count, stepping.three_point)

    def advance(self, start: Tensor, frames: Tensor, saved: NDArray[np.int64], first_path: int, first_step: int) -> int:
        """Advance a block of paths; see ``Stepper.advance``."""
        stepping, failures = self.stepping, torch.zeros((), dtype=torch.int64, device=start.device)
        # Component by component in memory: a drift that takes the components apart then reads them in one sweep.
        state = start.T
        paths = range(first_path, first_path + len(state))
        steps = self._with_normals(paths, first_step, int(saved[-1]))
        place = first_step
        for frame, wanted in enumerate(saved):
            while place < wanted:
                step, normals = next(steps)
                state = stepping.step(state, stepping.time(step), normals)
                place = step + 1
            frames[:, frame] = state.T
            failures += (~torch.isfinite(state)).sum()
        return int(failures)

    def _with_normals(self, paths: range, first: int, last: int) -> Iterator[tuple[int, Tensor]]:
        """Yield each step with its normals, shape ``(path, normal)``."""
        most = max(1, min(MOST_STEPS, LARGEST_BUFFER // max(1, len(paths) * self._count)))
        for begin in range(first, last, most):
            steps = range(begin, min(begin + most, last))
            drawn = torch.from_numpy(self._normals(paths, steps))
            drawn = drawn.to(device=self.stepping.device, dtype=self.stepping.dtype)
            for step in steps:
                yield step, drawn[step - begin].T


def _source_of_normals(
    streams: Streams, count: int, three_point: bool
) -> Callable[[range, range], NDArray[np.float32]]:
    """Return what draws normals of shape ``(steps, count, paths)``: compiled where it can be, else numpy."""
    try:
        kernel = compiled(normals_source(count, three_point)).draw_normals if count else None
    except CompilerMissing:
        kernel = None
    if kernel is None:
        return lambda paths, steps: streams.normals(paths, steps, count, three_point)

    def drawn(paths: range, steps: range) -> NDArray[np.float32]:
        result = np.empty((len(steps), count, len(paths)), np.float32)
        numbers = (ctypes.c_int64(n) for n in (len(paths), paths.start, steps.start, len(steps)))
        kernel(result.ctypes.data_as(ctypes.c_void_p), *numbers, ctypes.c_uint64(streams.key))
        return result

    return drawn
