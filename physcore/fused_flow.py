r"""The flow of many linear stochastic equations in a compiled C kernel; see ``linear_flow``, which decides when.

One equation takes one lane of the processor's vectors, and as many doublings as it needs itself.
"""

import ctypes
import functools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from physcore.errors import NumericalError
from physcore.fusion import CompilerMissing, compiled, empty, readable
from physcore.stepping.threads import over_threads

__all__ = ["FEWEST_EQUATIONS", "GRAIN", "LARGEST_DIMENSION", "NOT_FINITE", "flow_source", "fused_flow"]

LARGEST_DIMENSION = 8
FEWEST_EQUATIONS = 64  # fewer do not pay for a kernel's first call
GRAIN = 128  # equations; a multiple of all numbers of lanes
NOT_FINITE = "the linearisation of the drift is not finite; look for states that have diverged."


def flow_source(dimension: int, dtype: torch.dtype, rates: bool) -> str:
    """Return the C source of the flow, for others to build on.

    Arguments:
        dimension: Number of components d.
        dtype: Precision.
        rates: Whether forces and diffusions grow with time.
    """
    single = dtype == torch.float32
    return "\n".join(
        [
            f"#define D {dimension}",
            f"#define RATES {int(rates)}",
            f"#define real {'float' if single else 'double'}",
            f"#define whole {'int32_t' if single else 'int64_t'}",
            _local("lanes.h"),
            _local("linear_flow.h"),
        ]
    )


def fused_flow(*operands: Tensor | None) -> tuple[Tensor, Tensor, Tensor] | None:
    """Return the flow of a batch of equations, None where torch serves better or no kernel can.

    Arguments:
        operands: As of ``linear_flow``, in its order.

    Returns:
        Propagator, displacement and covariance.

    Raises:
        NumericalError: If a Jacobian is not finite.
    """
    given = [operand for operand in operands if operand is not None]
    jacobian, force, diffusion, duration = given[:4]
    dimension, batch = len(jacobian), max(operand.shape[-1] for operand in given)
    whole = all(operand.shape[-1] in (1, batch) for operand in given)
    # Where all have the same matrices torch computes them once.
    shared = max(matrix.shape[-1] for matrix in (jacobian, diffusion, duration)) == 1
    fit = whole and batch >= FEWEST_EQUATIONS and 1 <= dimension <= LARGEST_DIMENSION
    if shared or not fit or not readable(*given):
        return None
    rates = len(given) > 4
    if rates:
        missing = (torch.zeros_like(like[..., :1]) for like in (force, diffusion))
        given[4:] = [zero if rate is None else rate for rate, zero in zip(operands[4:], missing, strict=True)]
    kernel = _kernel(dimension, jacobian.dtype, rates)
    if kernel is None:
        return None
    given = [operand.contiguous() for operand in given]
    propagator, covariance = (empty((dimension, dimension, batch), jacobian.dtype) for _ in range(2))
    displacement = empty((dimension, batch), jacobian.dtype)
    table = [[x.data_ptr(), x.shape[-1], 0 if x.shape[-1] == 1 else 1] for x in given]
    pointers, rows, columns = np.array(table, np.int64).T.copy()

    def part(first: int, last: int) -> int:
        addresses = [array.ctypes.data for array in (pointers, rows, columns)]
        addresses += [result.data_ptr() for result in (propagator, displacement, covariance)]
        return int(kernel(*map(ctypes.c_void_p, addresses), *map(ctypes.c_int64, (batch, first, last))))

    if over_threads(part, batch, GRAIN):
        raise NumericalError(NOT_FINITE)
    return propagator, displacement, covariance


@functools.cache
def _kernel(dimension: int, dtype: torch.dtype, rates: bool) -> Any:
    source = flow_source(dimension, dtype, rates) + "\n" + _local("linear_flow_batch.h")
    try:
        kernel = compiled(source).solve_batch
    except CompilerMissing:
        return None
    kernel.restype = ctypes.c_int64
    return kernel


@functools.cache
def _local(name: str) -> str:
    return (Path(__file__).parent / name).read_text()
