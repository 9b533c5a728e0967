"""Phi-functions to rounding, exact means of linear processes, and a refusal of steps that are too long."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.linalg
import torch
from numpy.typing import NDArray

from physcore import Process
from simulations import DoubleWell, EulerMaruyama, LocalLinearization, OrnsteinUhlenbeck, Scheme
from simulations.integrators.phi_functions import LARGEST_NORM, phi_functions

Matrix = NDArray[np.float64]
AffineStep = Callable[[Scheme, Process, float], tuple[Matrix, Matrix, Matrix]]

# In float64 that of the reference: an exponential of a block matrix loses digits where the norm is large.
PRECISION = {torch.float64: 5e-13, torch.float32: 4e-6}


def exact_phi(matrix: Matrix) -> tuple[Matrix, Matrix]:
    """Return phi_1 and phi_2 from the exponential of a block matrix."""
    d = len(matrix)
    block = np.zeros((3 * d, 3 * d))
    block[:d, :d] = matrix
    block[: 2 * d, d:] += np.eye(2 * d)
    exponential = scipy.linalg.expm(block)
    return exponential[:d, d : 2 * d], exponential[:d, 2 * d :]


@pytest.mark.parametrize("dtype", PRECISION, ids=str)
@pytest.mark.parametrize("norm", [1e-6, 0.3, 2.0, LARGEST_NORM, 4 * LARGEST_NORM])
def test_phi_functions_are_right_to_rounding(norm: float, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    matrices = torch.randn(50, 3, 3, generator=generator, dtype=torch.float64) - torch.eye(3, dtype=torch.float64)
    matrices = (matrices * (norm / matrices.abs().sum(-1).amax(-1))[:, None, None]).to(dtype)
    for results, index in zip(phi_functions(matrices), (0, 1), strict=True):
        assert results.dtype == dtype
        for matrix, result in zip(matrices.double().numpy(), results.double().numpy(), strict=True):
            exact = exact_phi(matrix)[index]
            assert np.abs(result - exact).max() < PRECISION[dtype] * np.abs(exact).max()


def test_phi_functions_of_singular_matrices_are_their_series() -> None:
    first, second = phi_functions(torch.tensor([[0.0, 1.0], [0.0, 0.0]], dtype=torch.float64))
    np.testing.assert_allclose(first, [[1, 1 / 2], [0, 1]], rtol=1e-15)
    np.testing.assert_allclose(second, [[1 / 2, 1 / 6], [0, 1 / 2]], rtol=1e-15)


@pytest.mark.parametrize("dt", [0.01, 0.2])
def test_the_mean_of_a_linear_process_is_exact_even_where_it_is_stiff(dt: float, affine_step: AffineStep) -> None:
    stiff = OrnsteinUhlenbeck(drift_matrix=((-35.0, 5.0), (-3.0, -0.5)))
    propagator, _, _ = affine_step(LocalLinearization(), stiff, dt)
    np.testing.assert_allclose(propagator, scipy.linalg.expm(dt * np.array(stiff.drift_matrix)), rtol=1e-12, atol=1e-14)
    unstable = affine_step(EulerMaruyama(), stiff, 0.2)[0]
    assert np.abs(np.linalg.eigvals(unstable)).max() > 1


def test_a_step_that_is_too_long_is_refused_and_a_shorter_one_named() -> None:
    process = OrnsteinUhlenbeck(drift_matrix=((-2.0,),), noise_matrix=((1.0,),))
    LocalLinearization().check(process, 4.0)
    with pytest.raises(ValueError, match=r"got dt = 4\.01\. Use dt <= 4\."):
        LocalLinearization().check(process, 4.01)
    with pytest.raises(ValueError, match="among initial states"):
        LocalLinearization().check(DoubleWell(barrier=100.0), 0.1)
