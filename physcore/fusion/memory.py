"""What a kernel may read, and where it writes."""

import ctypes
import mmap
import sys

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

__all__ = ["empty", "readable"]

LARGE = 2**22  # bytes; below, memory that was freed is mostly there again


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


def empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return an uninitialised tensor that a kernel will fill, on large pages where the system has them to give.

    The first touch of a page of 4 kB can take longer than to compute what it holds.

    Arguments:
        shape: Its shape.
        dtype: Its precision.
    """
    tensor = torch.empty(shape, dtype=dtype)
    size = tensor.numel() * tensor.element_size()
    if sys.platform == "linux" and size >= LARGE:
        start = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
        length = (tensor.data_ptr() + size - start) // mmap.PAGESIZE * mmap.PAGESIZE
        # A hint: where it is refused nothing is lost.
        ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), mmap.MADV_HUGEPAGE)
    return tensor
