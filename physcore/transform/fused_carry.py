"""Points and scores through a map of each component by itself, in one compiled pass over memory.

What torch does operation by operation it reads and writes a dozen times; the map is traced instead, and each pair of a
component and its score computed at once.
"""

import ctypes
import functools
from collections.abc import Callable, Hashable

import numpy as np
import torch
from torch import Tensor

from physcore.fusion import (
    CompilerMissing,
    TooLarge,
    Untraceable,
    c_function,
    compiled,
    empty,
    mathematics,
    readable,
    trace,
)
from physcore.stepping.threads import over_threads

__all__ = ["fused_carry"]

SMALLEST, GRAIN = 2**13, 2**14  # components: from which on a kernel is worth its call, and a thread's part
EXAMPLE, EXAMPLE_SCORE = 0.31, 0.43

Carry = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class FusedCarry:
    """A map in one precision.

    Arguments:
        carry: From points and scores to points and scores, each of shape ``(1,)`` here.
        single: Whether numbers are float32 and not float64.

    Raises:
        Untraceable: If the map is not pointwise.
        CompilerMissing: If there is no C compiler.
    """

    def __init__(self, carry: Carry, single: bool) -> None:
        inputs = {"x": EXAMPLE, "s": EXAMPLE_SCORE}
        examples = {name: torch.full((1,), value, dtype=torch.float64) for name, value in inputs.items()}
        program = trace(lambda x, s: torch.cat(carry(x, s)), examples)
        places = {"x[0]": "x[i]", "s[0]": "s[i]"}
        function = c_function(program, places, frozenset(), ["y[i]", "r[i]"], single)
        source = [
            mathematics(),
            f"typedef {'float' if single else 'double'} real;",
            "void carry(const real *restrict c, const real *restrict x, const real *restrict s, real *restrict y,\n"
            "           real *restrict r, int64_t first, int64_t last)\n{\n"
            "    for (int64_t i = first; i < last; i++) {\n" + function.body + "\n    }\n}",
        ]
        self._kernel = compiled("\n\n".join(source)).carry
        self._kernel.restype = None
        self._constants = np.array([*function.constants, 0.0], np.float32 if single else np.float64)

    def __call__(self, state: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Return points and scores after the map, each of the shape of ``state``."""
        state, score = state.contiguous(), score.contiguous()
        results = [empty(tuple(state.shape), state.dtype) for _ in range(2)]
        heads = [self._constants.ctypes.data_as(ctypes.c_void_p)]
        heads += [ctypes.c_void_p(tensor.data_ptr()) for tensor in (state, score, *results)]

        def part(first: int, last: int) -> int:
            self._kernel(*heads, ctypes.c_int64(first), ctypes.c_int64(last))
            return 0

        over_threads(part, state.numel(), GRAIN)
        return results[0], results[1]


def fused_carry(key: Hashable, carry: Carry, state: Tensor, score: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return points and scores after a map, None where a kernel cannot or need not take the place of torch.

    Arguments:
        key: What tells the map and its direction from others.
        carry: The map, for a single component.
        state: Points, shape ``(..., component)``.
        score: Scores there, shape of ``state``.
    """
    if state.numel() < SMALLEST or state.shape != score.shape or not readable(state, score):
        return None
    kernel = _built(_Named(key, carry), state.dtype == torch.float32)
    return None if kernel is None else kernel(state, score)


class _Named:
    """A map that is told from others by its key alone."""

    def __init__(self, key: Hashable, carry: Carry) -> None:
        self.key, self.carry = key, carry

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Named) and self.key == other.key


@functools.lru_cache(maxsize=64)
def _built(named: _Named, single: bool) -> FusedCarry | None:
    try:
        return FusedCarry(named.carry, single)
    except (Untraceable, TooLarge, CompilerMissing):
        return None
