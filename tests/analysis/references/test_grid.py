"""The parts of the grid solver: remaps, Gaussian weights, convolutions and shears."""

import numpy as np
import pytest

from analysis.references.grid.diffusion import Convolution, Shear, gaussian_weights
from analysis.references.grid.transport import Remap, averages, centre_values


@pytest.mark.parametrize("axis", [0, 1])
def test_remap_keeps_sign_and_sum_of_rough_data(axis: int) -> None:
    random = np.random.default_rng(0)
    mass = random.random((40, 30)) ** 12
    shape = (41, 30) if axis == 0 else (40, 31)
    feet = np.sort(random.random(shape) * 50 - 5, axis=axis)
    moved = Remap(feet, axis, mass.shape[axis])(mass)
    assert (moved >= 0).all()
    np.testing.assert_allclose(moved.sum(axis), mass.sum(axis), rtol=1e-13)
    assert (centre_values(averages(mass, axis), axis) >= 0).all()


def test_remap_by_whole_cells_is_exact() -> None:
    mass = np.zeros((40, 1))
    mass[10:20, 0] = np.random.default_rng(0).random(10)
    means = averages(mass, 0)
    moved = Remap(np.arange(41.0)[:, None] - 7, 0, 40)(mass)
    np.testing.assert_allclose(moved, np.roll(centre_values(means, 0), 7, 0), atol=1e-15)


@pytest.mark.parametrize("variance", [0.05, 0.3, 0.34, 0.5, 0.61, 0.9, 1.0, 20.0])
def test_gaussian_weights_are_positive_with_the_right_moments(variance: float) -> None:
    weights = gaussian_weights(variance)
    place = np.arange(len(weights)) - len(weights) // 2
    assert (weights > 0).all()
    assert weights.sum() == pytest.approx(1, abs=1e-14)
    assert weights @ place**2 == pytest.approx(variance, rel=1e-8)
    if variance > 1 / 3:
        assert weights @ place**4 == pytest.approx(3 * variance**2, rel=5e-3)


@pytest.mark.parametrize("axis", [0, 1])
def test_convolution_reflects_at_the_ends(axis: int) -> None:
    mass = np.zeros((200, 200))
    mass[1, 1] = 1.0
    result = Convolution(30.0, axis, 200)(mass)
    assert result.sum() == pytest.approx(1, abs=1e-13)
    assert (result >= 0).all()
    place = np.arange(200)
    kernel = np.exp(-((place - 1) ** 2) / 60) + np.exp(-((place + 2) ** 2) / 60)
    line = result[:, 1] if axis == 0 else result[1]
    np.testing.assert_allclose(line, kernel / kernel.sum(), atol=1e-12)


def test_shears_undo_each_other_and_go_around() -> None:
    place = np.arange(64)
    mass = np.exp(-0.5 * ((place[:, None] - 30) ** 2 / 400 + (place - 20) ** 2 / 16))
    shifts = np.linspace(-20, 20, 64)
    there = Shear(shifts, 1, 64)(mass)
    assert (there >= 0).all()
    np.testing.assert_allclose(there.sum(1), mass.sum(1), rtol=1e-12)
    np.testing.assert_allclose(Shear(-shifts, 1, 64)(there), mass, atol=1e-3)
    np.testing.assert_allclose(Shear(np.full(64, 50.0), 1, 64)(mass)[:, 6], mass[:, 20], atol=1e-3)
