"""Fused stepping on a GPU: the traced step in a CUDA kernel, one thread a path."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from physcore.fusion import CompilerMissing
from physcore.stepping.kernel_source import FusedStep
from physcore.stepping.stepper import Stepper, Stepping

__all__ = ["FusedCuda"]

THREADS_PER_BLOCK = 128


class FusedCuda(Stepper):
    """Steps in a CUDA kernel that torch's own runtime compiler builds.

    Arguments:
        stepping: What is stepped and how.
        step: The traced step.

    Raises:
        CompilerMissing: If torch offers no runtime compiler.
    """

    way = "fused CUDA kernel"

    def __init__(self, stepping: Stepping, step: FusedStep) -> None:
        self.stepping = stepping
        single = stepping.dtype == torch.float32
        source, constants = step.source(single=single, three_point=stepping.three_point, cuda=True)
        self._kernel = _built(source)
        self._constants = torch.tensor([*constants, 0.0], dtype=stepping.dtype, device=stepping.device)
        self._double_constants = torch.tensor([*constants, 0.0], dtype=torch.float64, device=stepping.device)

    def advance(self, start: Tensor, frames: Tensor, saved: NDArray[np.int64], first_path: int, first_step: int) -> int:
        """Advance a block of paths; see ``Stepper.advance``."""
        device, stepping, paths = self.stepping.device, self.stepping, start.shape[1]
        key = stepping.streams.key
        numbers = [len(saved), frames.stride(0), frames.stride(1), paths, first_path, first_step]
        numbers.append(key - 2**64 if key >= 2**63 else key)  # the same bits, signed
        failures = torch.zeros(1, dtype=torch.int64, device=device)
        self._kernel(
            grid=(-(-paths // THREADS_PER_BLOCK), 1, 1),
            block=(THREADS_PER_BLOCK, 1, 1),
            args=[
                start,
                frames,
                self._constants,
                self._double_constants,
                torch.from_numpy(np.ascontiguousarray(saved, np.int64)).to(device),
                torch.tensor(numbers, dtype=torch.int64, device=device),
                torch.tensor([stepping.start, stepping.dt], dtype=torch.float64, device=device),
                failures,
            ],
        )
        return int(failures)


def _built(source: str) -> Callable[..., Any]:
    compile_kernel = getattr(torch.cuda, "_compile_kernel", None)
    if compile_kernel is None:
        raise CompilerMissing(f"torch {torch.__version__} cannot compile CUDA kernels at run time")
    try:
        with without_toolkit():
            kernel: Callable[..., Any] = compile_kernel(source, "advance_paths")
    except (RuntimeError, OSError) as error:
        raise CompilerMissing(f"the CUDA kernel cannot be compiled: {str(error)[:500]}") from error
    return kernel


@contextlib.contextmanager
def without_toolkit() -> Iterator[None]:
    """Let torch compile where no CUDA toolkit is installed beside it.

    Its runtime compiler comes with it, and our source needs no headers; but torch wants to know where they are.
    """
    from torch.utils import cpp_extension

    found = cpp_extension.CUDA_HOME
    try:
        cpp_extension.CUDA_HOME = found or str(Path(torch.__file__).parent)
        yield
    finally:
        cpp_extension.CUDA_HOME = found
