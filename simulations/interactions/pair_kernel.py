"""Pair forces in compiled kernels: the traced force of a pair inside loops over all pairs or over cells."""

import ctypes
import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from physcore.fusion import CompilerMissing, TooLarge, Untraceable, c_function, compiled, mathematics, trace
from simulations.interactions.pair_force import PairForce

__all__ = ["PairKernel", "pair_kernel"]

LANES = 32

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


class PairKernel:
    """The compiled forces of one pair interaction.

    Arguments:
        library: The compiled library.
        constants: Constants of the pair force, in the precision of the states.
        dimension: Number of directions.
    """

    def __init__(self, library: ctypes.CDLL, constants: NDArray[Any], dimension: int) -> None:
        self._library, self._constants, self.dimension = library, constants, dimension

    def over_all_pairs(self, positions: Tensor, box: Sequence[float] | None) -> Tensor:
        """Return the forces on all particles, systems side by side.

        Arguments:
            positions: Positions, shape ``(..., particle, dimension)``, [length].
            box: Periods; None in open space.

        Returns:
            Shape of ``positions``, [energy / length].
        """
        particles = positions.shape[-2]
        systems = math.prod(positions.shape[:-2])
        # As states are held: systems side by side in memory.
        columns = positions.reshape(systems, particles, self.dimension).permute(2, 1, 0).contiguous()
        forces = torch.empty_like(columns)
        room = np.empty(2 * self.dimension * particles * LANES, self._constants.dtype)
        self._library.all_pair_forces(
            *self._heads(columns, forces, systems, particles), _pointer(self._periods(box)), _pointer(room)
        )
        return forces.permute(2, 1, 0).reshape(positions.shape)

    def over_neighbours(
        self, positions: Tensor, box: Sequence[float] | None, width: float, across: tuple[int, ...]
    ) -> Tensor:
        """Return the forces on all particles, system by system.

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
        self._library.cell_forces(
            *self._heads(columns, forces, math.prod(columns.shape[:-2]), particles),
            _pointer(self._periods(box)),
            ctypes.c_double(width),
            _pointer(np.array(across, np.int64)),
            *map(_pointer, rooms),
        )
        return forces.mT

    def _heads(self, columns: Tensor, forces: Tensor, systems: int, particles: int) -> list[Any]:
        """Return the arguments that both kernels begin with."""
        tensors = [ctypes.c_void_p(t.data_ptr()) for t in (columns, forces)]
        return [*tensors, _pointer(self._constants), ctypes.c_int64(systems), ctypes.c_int64(particles)]

    def _periods(self, box: Sequence[float] | None) -> NDArray[np.float64]:
        return np.zeros(self.dimension) if box is None else np.array(box, np.float64)


def _pointer(array: NDArray[Any]) -> Any:
    return array.ctypes.data_as(ctypes.c_void_p)  # which keeps the array


def pair_kernel(positions: Tensor, interaction: PairForce) -> PairKernel | None:
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
def _built(interaction: PairForce, dimension: int, single: bool) -> PairKernel | None:
    try:
        # An ordinary displacement, within reach.
        example = torch.linspace(0.2, 0.4, dimension, dtype=torch.float64).unsqueeze(0) * min(interaction.cutoff, 1.0)
        program = trace(interaction.force, {"d": example})
        names = [f"d[{a}]" for a in range(dimension)]
        results = [f"f[{a}]" for a in range(dimension)]
        written = c_function(program, {name: name for name in names}, frozenset(), results, single)
        library = compiled(_source(written.body, dimension, single))
    except (Untraceable, TooLarge, CompilerMissing):
        return None
    constants = np.array([*written.constants, 0.0], np.float32 if single else np.float64)
    return PairKernel(library, constants, dimension)


def _source(body: str, dimension: int, single: bool) -> str:
    return "\n\n".join(
        [
            mathematics(),
            f"#define DIMENSION {dimension}\n#define ROWS_ABOVE {ROWS_ABOVE[dimension]}",
            f"#define NEAREST {'rintf' if single else 'rint'}\ntypedef {'float' if single else 'double'} real;",
            "static inline __attribute__((always_inline)) void pair_force(const real *c, const real *d, real *f)\n{\n"
            + body
            + "\n}",
            "static inline void rows_above(int64_t r, const int64_t *across, int64_t *above)\n{\n"
            + STEPS_ABOVE[dimension]
            + "\n}",
            *((Path(__file__).parent / name).read_text() for name in ("cell_forces.h", "all_pairs.h")),
        ]
    )
