r"""Affine maps.

.. math:: y = A x + c, \qquad J = A, \qquad \nabla \log |\det J| = 0, \qquad H = 0
"""

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from physcore.transform.bijections.bijection import Bijection
from physcore.transform.region import unreadable

__all__ = ["Affine"]

LARGEST_CONDITION = 1e12  # of a matrix in float64, of which a few digits are left after the inversion

Rows = tuple[tuple[float, ...], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Affine(Bijection):
    r"""The map :math:`y = A x + c`.

    Arguments:
        matrix: :math:`A`, a row for each component of :math:`y`, invertible.
        shift: :math:`c`; zero when empty.

    Raises:
        ValueError: If the matrix is not square and invertible, or the shift does not fit.

    Error:
        Rounding times the condition number of the matrix in what the inverse enters.
    """

    matrix: Sequence[Sequence[float]]
    shift: Sequence[float] = ()

    def __post_init__(self) -> None:
        rows = tuple(tuple(map(float, row)) for row in self.matrix)
        shift = tuple(map(float, self.shift)) or (0.0,) * len(rows)
        if not rows or any(len(row) != len(rows) for row in rows):
            raise ValueError(f"`matrix` must be square; got rows of length {[len(row) for row in rows]}.")
        if len(shift) != len(rows):
            raise ValueError(f"`shift` must have {len(rows)} entries; got {len(shift)}.")
        if not all(math.isfinite(entry) for row in (*rows, shift) for entry in row):
            raise ValueError("`matrix` and `shift` must be finite.")
        matrix = torch.tensor(rows, dtype=torch.float64)
        condition = float(torch.linalg.cond(matrix))
        if not condition < LARGEST_CONDITION:
            raise ValueError(f"`matrix` must be invertible; its condition number is {condition:.3g}.")
        object.__setattr__(self, "matrix", rows)
        object.__setattr__(self, "shift", shift)
        object.__setattr__(self, "dimension", len(rows))
        object.__setattr__(self, "_casts", {})
        object.__setattr__(self, "_matrix", matrix)
        object.__setattr__(self, "_inverse", torch.linalg.inv(matrix))
        object.__setattr__(self, "_logarithm", torch.linalg.slogdet(matrix).logabsdet)
        object.__setattr__(self, "_shift", torch.tensor(shift, dtype=torch.float64))

    def forward(self, state: Tensor) -> Tensor:
        r"""Return :math:`A x + c`, shape of ``state``; see ``Bijection.forward``."""
        self.check_domain(state)
        shift = self._held("_shift", state) if any(self.shift) else None
        return torch.nn.functional.linear(state, self._held("_matrix", state), shift)

    def inverse(self, state: Tensor) -> Tensor:
        r"""Return :math:`A^{-1} (y - c)`, shape of ``state``; see ``Bijection.inverse``."""
        self.check_image(state)
        return self._product("_inverse", state - self._held("_shift", state) if any(self.shift) else state)

    def log_determinant(self, state: Tensor) -> Tensor:
        r"""Return the constant :math:`\log |\det A|`, shape ``(...)``; see ``Bijection.log_determinant``."""
        self.check_domain(state)
        return self._held("_logarithm", state).expand(state.shape[:-1])

    def log_determinant_gradient(self, state: Tensor) -> Tensor:
        """Return zero, shape of ``state``; see ``Bijection.log_determinant_gradient``."""
        return torch.zeros_like(state)

    def push(self, state: Tensor, vector: Tensor) -> Tensor:
        r"""Return :math:`A u`; see ``Bijection.push``."""
        return self._product("_matrix", vector)

    def pull(self, state: Tensor, covector: Tensor) -> Tensor:
        r"""Return :math:`A^T w`; see ``Bijection.pull``."""
        return covector @ self._held("_matrix", covector)

    def inverse_push(self, state: Tensor, vector: Tensor) -> Tensor:
        r"""Return :math:`A^{-1} v`; see ``Bijection.inverse_push``."""
        return self._product("_inverse", vector)

    def inverse_pull(self, state: Tensor, covector: Tensor) -> Tensor:
        r"""Return :math:`A^{-T} w`; see ``Bijection.inverse_pull``."""
        return covector @ self._held("_inverse", covector)

    def push_score(self, state: Tensor, score: Tensor) -> Tensor:
        r"""Return :math:`A^{-T} s`, shape of ``state``; see ``Bijection.push_score``."""
        return self.inverse_pull(state, score)

    def pull_score(self, state: Tensor, score: Tensor) -> Tensor:
        r"""Return :math:`A^T s`, shape of ``state``; see ``Bijection.pull_score``."""
        return self.pull(state, score)

    def hessian_contraction(self, state: Tensor, noise: Tensor) -> Tensor:
        """Return zero, shape of ``state``; see ``Bijection.hessian_contraction``."""
        return torch.zeros_like(state)

    def _held(self, name: str, like: Tensor) -> Tensor:
        held: Tensor = getattr(self, name)
        if (held.dtype, held.device) == (like.dtype, like.device):
            return held
        if unreadable() or torch.is_inference_mode_enabled():
            return held.to(dtype=like.dtype, device=like.device)
        casts: dict[object, Tensor] = self._casts  # type: ignore[attr-defined]
        key = (name, like.dtype, like.device)
        if key not in casts:
            casts[key] = held.to(dtype=like.dtype, device=like.device)
        return casts[key]

    def _product(self, name: str, vector: Tensor) -> Tensor:
        held = self._held(name, vector)
        return vector @ held.mT
