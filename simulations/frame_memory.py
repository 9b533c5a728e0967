"""Memory for frames: all there before the steps are taken, and used again when its frames are written."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from physcore.fusion import empty
from physcore.stepping.threads import CALLER_ALONE, Threads

__all__ = ["FrameMemory", "new_memory"]

PAGE_BYTES = 4096
SHARES = 32


def new_memory(shape: Sequence[int], dtype: torch.dtype, threads: Threads) -> tuple[Tensor, Callable[[], int]]:
    """Return a tensor on the CPU with nothing in it, and what waits until its memory is there.

    Each page is touched once, because threads that meet new pages while they compute wait for each other.
    """
    tensor = empty(shape, dtype)
    pages = iter(np.array_split(tensor.view(-1)[:: PAGE_BYTES // tensor.itemsize].numpy(), SHARES))

    def touch() -> int:
        for part in pages:
            part[...] = 0
        return 0

    return tensor, threads.begin(touch)


class FrameMemory:
    """Lends memory for the frames of segments, and lends again what is given back: new memory is dear.

    Arguments:
        dtype: Precision of the states.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._free: list[Tensor] = []
        self._lent: dict[int, Tensor] = {}

    def lend(self, shape: Sequence[int]) -> Tensor:
        """Return a contiguous tensor with nothing in it."""
        size = math.prod(shape)
        memory = self._free.pop() if self._free and len(self._free[-1]) >= size else self._made(size)
        self._lent[memory.data_ptr()] = memory
        return memory[:size].view(*shape)

    def give_back(self, frames: Tensor) -> None:
        """Take back what was lent; any thread may do that."""
        self._free.append(self._lent.pop(frames.data_ptr()))

    def _made(self, size: int) -> Tensor:
        memory, there = new_memory((size,), self.dtype, CALLER_ALONE)
        there()
        return memory
