"""Component-first matrices against torch.linalg, on both sides of the switch to the library."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from physcore.errors import NumericalError
from physcore.small_matrices import (
    UNROLLED,
    cholesky,
    cholesky_unchecked,
    determinant_logarithm,
    multiply,
    solve_factored,
    solve_lower,
    solve_transposed,
    solve_transposed_general,
    transpose_multiply,
)

DIMENSIONS = [1, 2, 3, UNROLLED, UNROLLED + 1, 10]
BATCH = 7


def random(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype)


def positive(d: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Positive definite matrices, batch first."""
    root = random(BATCH, d, d, dtype=dtype)
    return root @ root.mT + 0.1 * torch.eye(d, dtype=dtype)


def first(matrix: torch.Tensor) -> torch.Tensor:
    return matrix.permute(1, 2, 0)


@pytest.mark.parametrize("d", DIMENSIONS)
def test_multiply_is_the_matrix_product(d: int) -> None:
    a, b, v = random(BATCH, d, d), random(BATCH, d, d + 1), random(BATCH, d)
    torch.testing.assert_close(multiply(first(a), first(b)), first(a @ b), rtol=1e-13, atol=1e-13)
    expected = (a @ v.unsqueeze(-1)).squeeze(-1).T
    torch.testing.assert_close(multiply(first(a), v.T), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("d", DIMENSIONS)
def test_multiply_broadcasts_a_batch_of_one(d: int) -> None:
    a, b = random(1, d, d), random(BATCH, d, d)
    torch.testing.assert_close(multiply(first(a), first(b)), first(a @ b), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(multiply(first(b), first(a)), first(b @ a), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("d", [UNROLLED, UNROLLED + 1])
@pytest.mark.parametrize("operation", [multiply, transpose_multiply, solve_lower, solve_transposed])
def test_one_matrix_serves_a_batch_of_vectors(operation: Callable[[Tensor, Tensor], Tensor], d: int) -> None:
    one, vectors = cholesky(first(positive(d))[..., :1]), random(d, BATCH)
    expected = operation(one.expand(d, d, BATCH), vectors)
    torch.testing.assert_close(operation(one, vectors), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("d", DIMENSIONS)
def test_cholesky_is_the_library_s(d: int, dtype: torch.dtype) -> None:
    matrix = positive(d, dtype)
    factor = cholesky(first(matrix))
    tolerance = 1e-12 if dtype == torch.float64 else 1e-4
    assert factor.dtype == dtype
    torch.testing.assert_close(factor, first(torch.linalg.cholesky(matrix)), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("d", DIMENSIONS)
def test_transposed_products_and_solutions_undo_each_other(d: int) -> None:
    lower, vector = torch.linalg.cholesky(positive(d)), random(BATCH, d)
    product = (lower.mT @ vector.unsqueeze(-1)).squeeze(-1).T
    torch.testing.assert_close(transpose_multiply(first(lower), vector.T), product, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(solve_transposed(first(lower), product), vector.T, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("d", [2, UNROLLED, UNROLLED + 1])
@pytest.mark.parametrize("kind", ["indefinite", "singular", "nan"])
def test_a_matrix_that_is_not_positive_definite_is_refused_and_counted(d: int, kind: str) -> None:
    matrix = positive(d)
    matrix[3] = {
        "indefinite": torch.diag(torch.tensor([1.0] * (d - 1) + [-1.0])),
        "singular": torch.zeros(d, d),
        "nan": torch.full((d, d), torch.nan),
    }[kind].double()
    with pytest.raises(NumericalError, match=f"1 of {BATCH}"):
        cholesky(first(matrix))


@pytest.mark.parametrize("d", [2, UNROLLED, UNROLLED + 1])
def test_a_negative_pivot_before_the_last_is_noticed(d: int) -> None:
    matrix = positive(d)
    matrix[0, 0, 0] = -1.0
    with pytest.raises(NumericalError):
        cholesky(first(matrix))


@pytest.mark.parametrize("d", [2, 10])
def test_input_is_left_untouched(d: int) -> None:
    matrix, vector = first(positive(d)), random(d, BATCH)
    kept = matrix.clone(), vector.clone()
    factor = cholesky(matrix)
    solve_transposed(factor, vector)
    multiply(matrix, matrix)
    assert torch.equal(matrix, kept[0])
    assert torch.equal(vector, kept[1])


@pytest.mark.parametrize("d", [1, 2, 3, 6, 7, UNROLLED + 1])
def test_elimination_near_the_identity_agrees_with_the_library(d: int) -> None:
    generator = torch.Generator().manual_seed(d)
    matrix = torch.eye(d).double() + 0.2 * torch.randn(50, d, d, generator=generator, dtype=torch.float64)
    vector = torch.randn(50, d, generator=generator, dtype=torch.float64)
    columns = matrix.permute(1, 2, 0)
    torch.testing.assert_close(determinant_logarithm(columns), torch.linalg.slogdet(matrix).logabsdet)
    torch.testing.assert_close(solve_transposed_general(columns, vector.T).T, torch.linalg.solve(matrix.mT, vector))
    definite = matrix @ matrix.mT + torch.eye(d).double()
    lower = cholesky_unchecked(definite.permute(1, 2, 0))
    torch.testing.assert_close(lower.permute(2, 0, 1), torch.linalg.cholesky(definite))
    torch.testing.assert_close(solve_factored(lower, vector.T).T, torch.linalg.solve(definite, vector))
