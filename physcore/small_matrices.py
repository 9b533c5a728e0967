r"""Products, Cholesky factors and triangular solves of very many very small matrices.

Batched linear algebra of libraries is made for large matrices; at dimension 2 to 12 its cost is overhead. Here a
batch of matrices is held component first, shape (row, column, batch), and every operation runs over the batch in
one sweep. Above ``UNROLLED`` components the library routines win and take over, which do not copy a matrix that serves
a whole batch of vectors.
"""

import torch
from torch import Tensor

from physcore.errors import NumericalError

__all__ = [
    "UNROLLED",
    "cholesky",
    "cholesky_unchecked",
    "determinant_logarithm",
    "multiply",
    "not_positive",
    "solve_factored",
    "solve_lower",
    "solve_transposed",
    "solve_transposed_general",
    "transpose_multiply",
]

UNROLLED = 12
ELIMINATED = 6  # components up to which elimination is unrolled, which takes their cube of operations


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """Return the matrix products.

    Arguments:
        a: Shape ``(i, j, batch)``.
        b: Shape ``(j, k, batch)``, or ``(j, batch)`` for vectors.

    Returns:
        Shape ``(i, k, batch)`` or ``(i, batch)``.
    """
    if b.ndim == 2 and _one_large(a):
        return a.squeeze(-1) @ b
    if b.ndim == 2:
        return (a * b).sum(1)
    if a.shape[0] <= UNROLLED:
        # Term by term: all products at once would be d times the result, too much for the cache.
        total = a[:, 0].unsqueeze(1) * b[0].unsqueeze(0)
        for j in range(1, a.shape[1]):
            total = torch.addcmul(total, a[:, j].unsqueeze(1), b[j].unsqueeze(0))
        return total
    # The library's batched product is many times slower on strided operands.
    return (a.permute(2, 0, 1).contiguous() @ b.permute(2, 0, 1).contiguous()).permute(1, 2, 0)


def transpose_multiply(lower: Tensor, vector: Tensor) -> Tensor:
    """Return the products :math:`L^T v`, shapes ``(i, j, batch)`` and ``(i, batch)`` to ``(j, batch)``."""
    if _one_large(lower):
        return lower.squeeze(-1).T @ vector
    return (lower * vector.unsqueeze(1)).sum(0)


def cholesky(matrix: Tensor) -> Tensor:
    """Return the lower Cholesky factors.

    Arguments:
        matrix: Symmetric matrices, shape ``(d, d, batch)``.

    Returns:
        Lower triangular factors of the same shape.

    Raises:
        NumericalError: If a matrix is not positive definite in its precision.
    """
    d = matrix.shape[0]
    if d > UNROLLED:
        large: Tensor
        large, failed = torch.linalg.cholesky_ex(matrix.permute(2, 0, 1))
        if failed.any():
            raise not_positive(int(failed.count_nonzero()), failed.numel(), matrix.dtype)
        return large.permute(1, 2, 0)
    factor = cholesky_unchecked(matrix)
    failed = ~(torch.diagonal(factor) > 0).all(-1)  # the square root of a negative pivot is NaN
    if failed.any():
        raise not_positive(int(failed.count_nonzero()), failed.numel(), matrix.dtype)
    return factor


def cholesky_unchecked(matrix: Tensor) -> Tensor:
    """Return the lower Cholesky factors of ``(d, d, batch)``, NaN where a matrix has none."""
    d = matrix.shape[0]
    if d > UNROLLED:
        large, failed = torch.linalg.cholesky_ex(matrix.permute(2, 0, 1))
        return torch.where(failed > 0, torch.nan, large.permute(1, 2, 0))
    zero = torch.zeros_like(matrix[0, 0])
    rows: list[list[Tensor]] = []
    for i in range(d):
        row: list[Tensor] = []
        for j in range(i + 1):
            rest = matrix[i, j]
            other = row if i == j else rows[j]
            for k in range(j):
                rest = rest - row[k] * other[k]
            row.append(rest.sqrt() if i == j else rest / rows[j][j])
        rows.append(row)
    return torch.stack([torch.stack(row + [zero] * (d - len(row))) for row in rows])


def solve_factored(lower: Tensor, vector: Tensor) -> Tensor:
    """Return the solutions :math:`(L L^T)^{-1} v`, shapes ``(d, d, batch)`` and ``(d, batch)``."""
    return solve_transposed(lower, solve_lower(lower, vector))


def _eliminated(matrix: Tensor) -> list[list[Tensor]]:
    """Return the factors of L U without pivoting, L below the diagonal, for matrices near the identity."""
    d = matrix.shape[0]
    rows = [list(row.unbind(0)) for row in matrix.unbind(0)]
    for k in range(d):
        for i in range(k + 1, d):
            rows[i][k] = rows[i][k] / rows[k][k]
            for j in range(k + 1, d):
                rows[i][j] = rows[i][j] - rows[i][k] * rows[k][j]
    return rows


def determinant_logarithm(matrix: Tensor) -> Tensor:
    r"""Return :math:`\log |\det A|`, shape ``(batch,)``, of matrices ``(d, d, batch)`` near the identity."""
    if matrix.shape[0] > ELIMINATED:
        logarithm: Tensor = torch.linalg.slogdet(matrix.permute(2, 0, 1)).logabsdet
        return logarithm
    rows = _eliminated(matrix)
    total = rows[0][0].abs().log()
    for k in range(1, len(rows)):
        total = total + rows[k][k].abs().log()
    return total


def solve_transposed_general(matrix: Tensor, vector: Tensor) -> Tensor:
    """Return :math:`A^{-T} v` for matrices near the identity, shapes ``(d, d, batch)`` and ``(d, batch)``."""
    d = matrix.shape[0]
    if d > ELIMINATED:
        solved: Tensor = torch.linalg.solve(matrix.permute(2, 1, 0), vector.T)
        return solved.T
    rows = _eliminated(matrix)
    # A^T = U^T L^T: forward through U^T, backward through L^T, whose diagonal is one.
    forward: list[Tensor] = []
    for i in range(d):
        rest = vector[i]
        for k in range(i):
            rest = rest - rows[k][i] * forward[k]
        forward.append(rest / rows[i][i])
    for i in reversed(range(d)):
        for k in range(i + 1, d):
            forward[i] = forward[i] - rows[k][i] * forward[k]
    return torch.stack(forward)


def solve_lower(lower: Tensor, vector: Tensor) -> Tensor:
    """Return the solutions :math:`L^{-1} v`.

    Arguments:
        lower: Lower triangular matrices, shape ``(d, d, batch)``.
        vector: Right-hand sides, shape ``(d, batch)``.

    Returns:
        Shape ``(d, batch)``.
    """
    d = lower.shape[0]
    if _one_large(lower):
        one: Tensor = torch.linalg.solve_triangular(lower.squeeze(-1), vector, upper=False)
        return one
    if d > UNROLLED:
        solved: Tensor = torch.linalg.solve_triangular(lower.permute(2, 0, 1), vector.T.unsqueeze(-1), upper=False)
        return solved.squeeze(-1).T
    solution: list[Tensor] = []
    for i in range(d):
        rest = vector[i]
        for k in range(i):
            rest = rest - lower[i, k] * solution[k]
        solution.append(rest / lower[i, i])
    return torch.stack(solution)


def solve_transposed(lower: Tensor, vector: Tensor) -> Tensor:
    """Return the solutions :math:`L^{-T} v`.

    Arguments:
        lower: Lower triangular matrices, shape ``(d, d, batch)``.
        vector: Right-hand sides, shape ``(d, batch)``.

    Returns:
        Shape ``(d, batch)``.
    """
    d = lower.shape[0]
    if _one_large(lower):
        one: Tensor = torch.linalg.solve_triangular(lower.squeeze(-1).T, vector, upper=True)
        return one
    if d > UNROLLED:
        upper = lower.permute(2, 1, 0)
        solved: Tensor = torch.linalg.solve_triangular(upper, vector.T.unsqueeze(-1), upper=True)
        return solved.squeeze(-1).T
    solution: list[Tensor] = [vector] * d
    for i in reversed(range(d)):
        rest = vector[i]
        for k in range(i + 1, d):
            rest = rest - lower[k, i] * solution[k]
        solution[i] = rest / lower[i, i]
    return torch.stack(solution)


def _one_large(matrix: Tensor) -> bool:
    """Return whether ``(d, d, batch)`` is one matrix, and large enough for the library."""
    return matrix.shape[0] > UNROLLED and matrix.shape[-1] == 1


def not_positive(failed: int, total: int, dtype: torch.dtype) -> NumericalError:
    """Return the error of covariances without a Cholesky factor.

    Arguments:
        failed: How many there are.
        total: Of how many.
        dtype: Precision they were factorised in.
    """
    return NumericalError(
        f"{failed} of {total} local covariances are not positive definite in {dtype}: "
        "the noise does not reach every component within the lag, or the lag is too short for this precision."
    )
