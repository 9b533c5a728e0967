"""Multiples of the identity but for a few directions, against the matrices they stand for."""

import pytest
import torch
from torch import Tensor

from physcore.low_rank import IdentityPlusLowRank


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("rows", [1, 3, 7, 9])
def test_it_is_the_identity_plus_a_gram_matrix(rows: int) -> None:
    a, rest, scale = drawn(5, rows, 7), drawn(5, seed=1), drawn(5, seed=2)
    matrix = IdentityPlusLowRank.of_gram(rest, a, scale)
    expected = rest[:, None, None] * torch.eye(7, dtype=torch.float64) + scale[:, None, None] * a.mT @ a
    torch.testing.assert_close(matrix.dense(), expected)
    vector = drawn(5, 7, seed=3)
    torch.testing.assert_close(matrix.apply(vector), (expected @ vector.unsqueeze(-1)).squeeze(-1))
    torch.testing.assert_close(matrix.scaled(scale).dense(), scale[:, None, None] * expected)


def test_directions_that_are_not_there_do_no_harm() -> None:
    a = drawn(4, 1, 7).expand(4, 3, 7)  # three times the same row
    one = torch.ones(4, dtype=torch.float64)
    matrix = IdentityPlusLowRank.of_gram(one, a, one)
    torch.testing.assert_close(matrix.dense(), torch.eye(7, dtype=torch.float64) + a.mT @ a)
    nothing = IdentityPlusLowRank.of_gram(one, torch.zeros_like(a), one)
    torch.testing.assert_close(nothing.dense(), torch.eye(7, dtype=torch.float64).expand(4, 7, 7))


def test_a_function_of_it_is_that_of_its_eigenvalues() -> None:
    matrix = IdentityPlusLowRank.of_gram(drawn(5), drawn(5, 2, 7, seed=1), torch.ones(5, dtype=torch.float64))
    exponential = matrix.with_spectrum(matrix.spectrum.exp())
    torch.testing.assert_close(exponential.dense(), torch.linalg.matrix_exp(matrix.dense()))
