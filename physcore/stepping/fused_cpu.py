"""Fused stepping on a CPU: the traced step in a C kernel, lanes of paths side by side, threads over groups of them."""

import ctypes
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from physcore.fusion import compiled
from physcore.stepping.kernel_source import LANES_OF_SMALL_STATES, FusedStep
from physcore.stepping.stepper import Stepper, Stepping
from physcore.stepping.threads import CALLER_ALONE, Threads

__all__ = ["FusedCpu"]

SHARES_PER_THREAD = 32  # so many that no thread waits long for another


class FusedCpu(Stepper):
    """Steps in a compiled C kernel.

    Arguments:
        stepping: What is stepped and how.
        step: The traced step.

    Raises:
        CompilerMissing: If there is no C compiler.
    """

    way = "fused C kernel"

    def __init__(self, stepping: Stepping, step: FusedStep) -> None:
        self.stepping = stepping
        self._threads = stepping.threads or Threads()
        single = stepping.dtype == torch.float32
        source, constants = step.source(single=single, three_point=stepping.three_point, cuda=False)
        self._kernel = compiled(source).advance_paths
        self._kernel.restype = ctypes.c_int64
        self._constants = np.array([*constants, 0.0], np.float32 if single else np.float64)
        self._double_constants = np.array([*constants, 0.0], np.float64)

    def advance(self, start: Tensor, frames: Tensor, saved: NDArray[np.int64], first_path: int, first_step: int) -> int:
        """Advance a block of paths; see ``Stepper.advance``."""
        return self.begin(start, frames, saved, first_path, first_step)()

    def begin(
        self, start: Tensor, frames: Tensor, saved: NDArray[np.int64], first_path: int, first_step: int
    ) -> Callable[[], int]:
        """Begin to advance a block of paths, in all threads; see ``Stepper.begin``."""
        paths, stepping, lanes = start.shape[1], self.stepping, LANES_OF_SMALL_STATES
        few = paths <= lanes
        shares = 1 if few or self._threads.count == 1 else SHARES_PER_THREAD * self._threads.count
        share = -(-paths // (shares * lanes)) * lanes
        saved = np.ascontiguousarray(saved, np.int64)
        taken = ctypes.c_int64(0)

        def advance_some() -> int:
            return int(
                self._kernel(
                    *(ctypes.c_void_p(pointer) for pointer in (start.data_ptr(), frames.data_ptr())),
                    *(a.ctypes.data_as(ctypes.c_void_p) for a in (self._constants, self._double_constants, saved)),
                    *(ctypes.c_int64(n) for n in (len(saved), frames.stride(0), frames.stride(1), paths)),
                    ctypes.byref(taken),
                    *(ctypes.c_int64(n) for n in (share, first_path, first_step)),
                    *(ctypes.c_double(x) for x in (stepping.start, stepping.dt)),
                    ctypes.c_uint64(stepping.streams.key),
                )
            )

        return (CALLER_ALONE if few else self._threads).begin(advance_some)
