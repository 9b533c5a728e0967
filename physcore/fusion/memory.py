"""What a kernel may read, and where it writes."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

__all__ = ["empty", "readable"]

LINE = 64  # bytes of a cache line
PRECISIONS = {torch.float32: np.float32, torch.float64: np.float64}


def readable(*tensors: Tensor) -> bool:
    """Return whether a kernel may take the place of torch's operations on these tensors.

    Arguments:
        tensors: All that it would read.

    Returns:
        False for other devices than the CPU, for precisions other than float32 and float64 and for a mixture, where
        gradients are recorded, and inside a transform or a tracer.
    """
    first = tensors[0]
    if first.dtype not in (torch.float32, torch.float64) or _get_current_dispatch_mode() is not None:
        return False
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return False
    recorded = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return not recorded and all(
        type(tensor) in (Tensor, torch.nn.Parameter) and tensor.device.type == "cpu" and tensor.dtype == first.dtype
        for tensor in tensors
    )


def empty(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Return an uninitialised tensor that a kernel will fill, on large pages where the system has them to give.

    Numpy asks for such pages from 4 MB on, torch does not: the first touch of a page of 4 kB can take longer than to
    compute what it holds. The tensor begins with a line of the cache, which numpy's own does not.

    Arguments:
        shape: Its shape.
        dtype: Its precision, float32 or float64.
    """
    precision = np.dtype(PRECISIONS[dtype])
    memory = np.empty(math.prod(shape) * precision.itemsize + LINE, np.uint8)
    first = -memory.ctypes.data % LINE
    return torch.from_numpy(memory[first : first + memory.size - LINE].view(precision).reshape(shape))
