"""Scores through a transformation with a triangular Jacobian in one compiled pass over tiles of points.

What ``masked_sweep`` states, from the points to the scores, without a number in between that leaves the caches. A
coupling is a transformation of two levels of components, of which nothing happens to the first.
"""

import ctypes
import functools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from physcore.fusion import CompilerMissing, TooLarge, Untraceable, compiled, empty, mathematics, readable
from physcore.stepping.threads import over_threads
from physcore.transform.bijections.conditioner import Conditioner
from physcore.transform.bijections.univariate_source import activation_source, univariate_source

__all__ = ["FusedSweep"]

GRAIN = 2**9  # points in a thread's part
LINE = 64  # bytes that memory is aligned to
Score = Tensor | None


class FusedSweep:
    """The compiled way of a transformation.

    Arguments:
        conditioner: The network, and what is made of its outputs.
        levels: Levels of the components, of the units of each hidden layer, and of the parameters of components that
            have any. A unit's is that of the last component it depends on, -1 if there is none; parameters depend on
            units of earlier levels alone.
        masks: What the rows of each matrix read, None for all.
    """

    def __init__(self, conditioner: Conditioner, levels: list[Tensor], masks: list[Tensor] | None) -> None:
        self._conditioner = conditioner
        self._orders = [torch.argsort(level, stable=True) for level in levels]
        count = conditioner.parameters
        free = len(levels[0]) - len(levels[-1]) // count
        inputs = conditioner.linear[0].weight.shape[1]
        # A network that is not given all components is given those of the first level, in their order.
        self._columns = [self._orders[0] if inputs == len(levels[0]) else torch.arange(inputs), *self._orders[1:-1]]
        self._plan = self._planned(levels, free, count, masks)
        self._sources: dict[torch.dtype, str | None] = {}
        self._held: dict[torch.dtype, tuple[list[Tensor], Tensor]] = {}

    def carry(self, state: Tensor, score: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return points and scores after the transformation, None where a kernel cannot take the place of torch."""
        found = self._run(state, score, on=True)
        return None if found is None else (found[0], found[1])

    def carry_back(self, image: Tensor, score: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return points and scores before the transformation, None where a kernel cannot take the place of torch."""
        found = self._run(image, score, on=False)
        return None if found is None else (found[0], found[1])

    def inverse(self, image: Tensor) -> Tensor | None:
        """Return the points before the transformation, None where a kernel cannot take the place of torch."""
        found = self._run(image, None, on=False)
        return None if found is None else found[0]

    def _run(self, state: Tensor, score: Score, on: bool) -> list[Tensor] | None:
        given = [tensor.detach().contiguous() for tensor in (state, score) if tensor is not None]
        weights = [tensor.detach() for layer in self._conditioner.linear for tensor in _of(layer)]
        kernel = self._kernel(state.dtype) if readable(*given, *weights) and state.numel() else None
        if kernel is None:
            return None
        packed, results = self._packed(weights), [empty(tuple(state.shape), state.dtype) for _ in given]
        heads = [self._plan.ctypes.data, packed.data_ptr()]
        pointers = [[*(x.data_ptr() for x in tensors), None][:2] for tensors in (given, results)]
        rows, bytes_of_row = int(kernel.rows_needed(ctypes.c_void_p(heads[0]))), kernel.bytes_of_row()

        def part(first: int, last: int) -> int:
            memory = np.empty(rows * bytes_of_row + LINE, np.uint8)
            aligned = memory.ctypes.data + -memory.ctypes.data % LINE
            kernel.sweep(
                *map(ctypes.c_void_p, (*heads, aligned, *pointers[0], *pointers[1])),
                *map(ctypes.c_int64, (on, first, last)),
            )
            return 0

        over_threads(part, state.numel() // state.shape[-1], GRAIN)
        return results

    def _kernel(self, dtype: torch.dtype) -> Any:
        """Return the compiled kernel of a precision, None if there is none."""
        # Sources are kept and not kernels, so that a map can still be copied and sent to other processes.
        try:
            if dtype not in self._sources:
                self._sources[dtype] = self._source(dtype == torch.float32)
            return None if self._sources[dtype] is None else _compiled(self._sources[dtype])
        except (Untraceable, TooLarge, CompilerMissing):
            self._sources[dtype] = None
            return None

    def _source(self, single: bool) -> str:
        made, folder = self._conditioner, Path(__file__).parent
        kinds = [activation_source(activation, single) for activation in made.activations[:1]]
        if any(repr(activation) != repr(made.activations[0]) for activation in made.activations):
            raise Untraceable("different functions in different layers")
        real = "float" if single else "double"
        return "\n".join(
            [
                mathematics(),
                f"#define REAL {real}\n#define REAL_BYTES {4 if single else 8}\ntypedef {real} real;",
                f"#define DEPTH {len(made.activations)}\n#define PARAMETERS {made.parameters}",
                (folder / "tiles.h").read_text(encoding="utf-8"),
                *(kinds or ["static void activate(row value, row rate) {}"]),
                univariate_source(made.make, made.shapes, single),
                (folder / "triangular_sweep.h").read_text(encoding="utf-8"),
            ]
        )

    def _planned(self, levels: list[Tensor], free: int, count: int, masks: list[Tensor] | None) -> Any:
        """Return what the kernel is to know of the network, whole numbers one after the other."""
        top = int(levels[0].max()) + 1
        starts = [[int((level < k).sum()) for k in range(top + 1)] for level in levels[:-1]]
        order = self._orders[0]
        plan = [len(order), free, top, self._conditioner.linear[0].weight.shape[1]]
        plan += [*torch.argsort(order).tolist(), *levels[0][order].tolist(), *starts[0]]
        for k, layer in enumerate(self._conditioner.linear):
            hidden = k + 1 < len(levels) - 1
            plan += starts[k + 1] if hidden else []
            reach = torch.full((layer.weight.shape[0],), layer.weight.shape[1])
            if masks is not None:
                mask = masks[k][self._orders[k + 1]][:, self._columns[k]]
                places = torch.arange(1, mask.shape[1] + 1)
                reach = torch.cummax((mask * places).amax(1), 0).values
            plan += (reach if hidden else reach.reshape(-1, count).amax(1)).tolist()
        return np.array(plan, np.int64)

    def _packed(self, weights: list[Tensor]) -> Tensor:
        """Return matrices and shifts of all layers, sorted by level; those of the last call if they are the same."""
        dtype = weights[0].dtype
        if dtype in self._held:
            kept, packed = self._held[dtype]
            # They are compared, and not watched: who writes into their memory leaves no trace.
            if all(map(torch.equal, kept, weights)):
                return packed
        parts = []
        for layer, columns, rows in zip(self._conditioner.linear, self._columns, self._orders[1:], strict=True):
            matrix = (getattr(layer, "mask", 1) * layer.weight.detach())[rows][:, columns]
            shift = matrix.new_zeros(len(rows)) if layer.bias is None else layer.bias.detach()[rows]
            parts += [matrix.flatten(), shift]
        packed = torch.cat(parts)
        self._held[dtype] = [tensor.clone() for tensor in weights], packed
        return packed


def _of(layer: Any) -> list[Tensor]:
    return [layer.weight] if layer.bias is None else [layer.weight, layer.bias]


@functools.cache
def _compiled(source: str) -> Any:
    kernel = compiled(source)
    kernel.sweep.restype = None
    kernel.rows_needed.restype = kernel.bytes_of_row.restype = ctypes.c_int64
    return kernel
