"""What a kernel may read: tensors whose numbers lie in this process's memory and that nobody watches."""

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

__all__ = ["readable"]


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
