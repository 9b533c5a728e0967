"""Forces over neighbours in a compiled kernel: the traced pair force inside a loop over cells."""

import ctypes
import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from physcore.fusion import CompilerMissing, TooLarge, Untraceable, c_function, compiled, trace
from simulations.interactions.pair_force import PairForce

__all__ = ["CellKernel", "cell_kernel"]

Compute = Callable[..., None]

# Rows of cells of which half of all neighbours lie, as steps in the directions other than the last.
STEPS_ABOVE = {
    1: "",
    2: "above[0] = (r + 1) % across[0];",
    3: """const int64_t n = across[0], m = across[1], i = r / m, j = r % m;
    above[0] = i * m + (j + 1) % m;
    for (int s = 0; s < 3; s++)
        above[1 + s] = (i + 1) % n * m + (j + s + m - 1) % m;""",
}
ROWS_ABOVE = {1: 0, 2: 1, 3: 4}


class CellKernel:
    """The compiled forces of one pair interaction.

    Arguments:
        compute: The compiled function.
        constants: Constants of the pair force, in the precision of the states.
        dimension: Number of directions.
    """

    def __init__(self, compute: Compute, constants: np.ndarray, dimension: int) -> None:
        self._compute, self._constants, self.dimension = compute, constants, dimension

    def __call__(self, positions: Tensor, box: Sequence[float] | None, width: float, across: tuple[int, ...]) -> Tensor:
        """Return the forces on all particles.

        Arguments:
            positions: Positions, shape ``(..., particle, dimension)``, [length].
            box: Periods; None in open space.
            width: Width of a cell in open space.
            across: Cells in each direction, at least 3.

        Returns:
            Shape of ``positions``, [energy / length].
        """
        columns = positions.mT.contiguous()
        forces, particles = torch.empty_like(columns), columns.shape[-1]
        rooms = [np.empty(math.prod(across) + 1, np.int64), *(np.empty(particles, np.int64) for _ in range(2))]
        rooms += [np.empty(self.dimension * particles, self._constants.dtype) for _ in range(2)]
        about = [np.zeros(self.dimension) if box is None else np.array(box, float), np.array(across, np.int64)]
        pointer = ctypes.c_void_p
        self._compute(
            *(pointer(t.data_ptr()) for t in (columns, forces)),
            self._constants.ctypes.data_as(pointer),
            *(ctypes.c_int64(n) for n in (math.prod(columns.shape[:-2]), particles)),
            about[0].ctypes.data_as(pointer),
            ctypes.c_double(width),
            about[1].ctypes.data_as(pointer),
            *(room.ctypes.data_as(pointer) for room in rooms),
        )
        return forces.mT


def cell_kernel(positions: Tensor, interaction: PairForce) -> CellKernel | None:
    """Return the compiled forces where they can be used: plain values on a CPU, a force that can be traced.

    Arguments:
        positions: Positions, shape ``(..., particle, dimension)``.
        interaction: The pair interaction.
    """
    plain = type(positions) is Tensor and positions.device.type == "cpu" and not positions.requires_grad
    watched = torch._C._len_torch_dispatch_stack() > 0 or torch._C._functorch.peek_interpreter_stack() is not None
    if not plain or watched or positions.dtype not in (torch.float32, torch.float64):
        return None
    try:
        return _built(interaction, positions.shape[-1], positions.dtype == torch.float32)
    except TypeError:  # an interaction that cannot be hashed may change
        return None


@functools.lru_cache(maxsize=64)
def _built(interaction: PairForce, dimension: int, single: bool) -> CellKernel | None:
    try:
        # An ordinary displacement, within reach.
        example = torch.linspace(0.2, 0.4, dimension, dtype=torch.float64).unsqueeze(0) * min(interaction.cutoff, 1.0)
        program = trace(interaction.force, {"d": example})
        names = [f"d[{a}]" for a in range(dimension)]
        results = [f"f[{a}]" for a in range(dimension)]
        written = c_function(program, {name: name for name in names}, frozenset(), results, single)
        compute = compiled(_source(written.body, dimension, single)).cell_forces
    except (Untraceable, TooLarge, CompilerMissing):
        return None
    constants = np.array([*written.constants, 0.0], np.float32 if single else np.float64)
    return CellKernel(compute, constants, dimension)


def _source(body: str, dimension: int, single: bool) -> str:
    return "\n\n".join(
        [
            "#include <math.h>\n#include <stdint.h>",
            f"#define DIMENSION {dimension}\n#define ROWS_ABOVE {ROWS_ABOVE[dimension]}",
            f"#define NEAREST {'rintf' if single else 'rint'}\ntypedef {'float' if single else 'double'} real;",
            "static inline void pair_force(const real *c, const real *d, real *f)\n{\n" + body + "\n}",
            "static inline void rows_above(int64_t r, const int64_t *across, int64_t *above)\n{\n"
            + STEPS_ABOVE[dimension]
            + "\n}",
            (Path(__file__).parent / "cell_forces.h").read_text(),
        ]
    )
