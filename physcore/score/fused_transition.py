"""The local linear transition in one compiled pass: from states to means and Cholesky factors, or covariances.

Drift, Jacobian and noise are traced together, so that nothing but the states is read and nothing but the transition
written.
"""

import ctypes
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from physcore.errors import NumericalError
from physcore.fused_flow import GRAIN, LARGEST_DIMENSION, NOT_FINITE, flow_source
from physcore.fusion import TooLarge, c_function, compiled, empty, mathematics, trace
from physcore.small_matrices import not_positive
from physcore.stepping.threads import over_threads

__all__ = ["FusedTransition"]

LARGEST_KERNEL = 5000  # operations; a compiler's time grows with their square

Expansion = Callable[[Tensor, Tensor, Tensor], Tensor]


class FusedTransition:
    """Transitions of one process in one precision.

    Arguments:
        expansion: From states ``(batch, d)``, times and lags ``(batch,)`` to shape ``(batch, entry)``: Jacobian, drift,
            lower half of the diffusion, row by row, and, where either grows with time, the rates of the last two.
        dimension: Number of components d.
        dtype: Precision.

    Attributes:
        shares_propagator: Whether Jacobian and diffusion are the same for all states and times.

    Raises:
        Untraceable: If the expansion is not pointwise.
        TooLarge: If it has too many operations, or there are too many components.
        CompilerMissing: If there is no C compiler.
    """

    def __init__(self, expansion: Expansion, dimension: int, dtype: torch.dtype) -> None:
        if not 1 <= dimension <= LARGEST_DIMENSION:
            raise TooLarge(f"{dimension} components")
        example = torch.linspace(0.31, 0.67, dimension, dtype=torch.float64).unsqueeze(0)
        inputs = {"x": example, "t": example.new_full((1,), 0.43), "h": example.new_full((1,), 0.17)}
        program = trace(expansion, inputs)
        if len(program.needed()) > LARGEST_KERNEL:
            raise TooLarge(f"{len(program.needed())} operations on one state")
        half = dimension * (dimension + 1) // 2
        matrices = program.outputs[: dimension**2] + program.outputs[dimension * (dimension + 1) :][:half]
        rates = len(program.outputs) > dimension * (dimension + 1) + half
        self.dimension = dimension
        self.shares_propagator = not rates and all(map(program.is_constant, matrices))
        states = {f"x[{i}]": f"x[{i} * LANES]" for i in range(dimension)}
        targets = [f"y[{k} * LANES]" for k in range(len(program.outputs))]
        single = dtype == torch.float32
        function = c_function(program, {**states, "t[0]": "t", "h[0]": "h"}, frozenset(), targets, single)
        parts = [
            mathematics(),
            flow_source(dimension, dtype, rates),
            f"#define COEFFICIENTS {function.coefficient_count}",
            "INLINE void coefficients(const double *k, real *u)\n{\n" + function.coefficients + "\n}",
            "INLINE void expansion(const real *c, const real *u, const real *x, real t, real h, real *y)\n{\n"
            + function.body
            + "\n}",
            _loop(),
        ]
        self._kernel = compiled("\n\n".join(parts)).transitions_of_batch
        self._kernel.restype = ctypes.c_int64
        self._constants = np.array([*function.constants, 0.0], np.float32 if single else np.float64)
        self._double_constants = np.array([*function.constants, 0.0], np.float64)

    def __call__(self, state: Tensor, time: Tensor, lag: Tensor) -> tuple[Tensor, Tensor]:
        """Return means ``(d, batch)`` and Cholesky factors ``(d, d, batch)``.

        Arguments:
            state: States, shape ``(batch, d)``.
            time: Times in the precision of the states, shape ``(batch,)`` or ``(1,)``.
            lag: Lags likewise.

        Raises:
            NumericalError: If a linearisation is not finite, or a covariance not positive definite.
        """
        return self._solved(state, time, lag, factored=True)

    def moments(self, state: Tensor, time: Tensor, lag: Tensor) -> tuple[Tensor, Tensor]:
        """Return displacements ``(d, batch)`` and covariances ``(d, d, batch)``.

        Arguments:
            state: States, as above.
            time: Times.
            lag: Lags.

        Raises:
            NumericalError: If a linearisation is not finite.
        """
        return self._solved(state, time, lag, factored=False)

    def _solved(self, state: Tensor, time: Tensor, lag: Tensor, factored: bool) -> tuple[Tensor, Tensor]:
        batch, d = state.shape
        mean, factor = empty((d, batch), state.dtype), empty((d, d, batch), state.dtype)
        strides = np.array([0 if len(each) == 1 else each.stride(0) for each in (time, lag)], np.int64)
        degenerate = np.zeros(1, np.int64)

        def part(first: int, last: int) -> int:
            return int(
                self._kernel(
                    *(array.ctypes.data_as(ctypes.c_void_p) for array in (self._constants, self._double_constants)),
                    ctypes.c_void_p(state.data_ptr()),
                    *(ctypes.c_int64(n) for n in (state.stride(1), state.stride(0))),
                    *(ctypes.c_void_p(x.data_ptr()) for x in (time, lag)),
                    strides.ctypes.data_as(ctypes.c_void_p),
                    *(ctypes.c_void_p(x.data_ptr()) for x in (mean, factor)),
                    *(ctypes.c_int64(n) for n in (batch, first, last)),
                    degenerate.ctypes.data_as(ctypes.c_void_p),
                    ctypes.c_int64(factored),
                )
            )

        if over_threads(part, batch, GRAIN):
            raise NumericalError(NOT_FINITE)
        if degenerate[0]:
            raise not_positive(int(degenerate[0]), batch, state.dtype)
        return mean, factor


@functools.cache
def _loop() -> str:
    return (Path(__file__).parent / "transition.h").read_text()
