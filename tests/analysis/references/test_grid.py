"""The parts of the grid solver: remaps, Gaussian weights, convolutions and shears."""

import numpy as np
import pytest
import torch
from torch import Tensor

from analysis.references.grid.cells import Cells
from analysis.references.grid.characteristics import feet
from analysis.references.grid.diffusion import Convolution, NarrowConvolution, Shear, gaussian_kick, gaussian_weights
from analysis.references.grid.lattice import steps_along_lattice
from analysis.references.grid.reconstruction import averages, centre_values
from analysis.references.grid.transport import Remap
from simulations.processes.lorenz63 import Lorenz63


@pytest.mark.parametrize("periodic", [False, True], ids=["closed", "periodic"])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("varying", [(), (0,), (2,), (0, 1, 2)], ids=["none", "first", "last", "all"])
def test_remap_keeps_sign_and_sum_of_rough_data(axis: int, varying: tuple[int, ...], periodic: bool) -> None:
    random = np.random.default_rng(0)
    mass = random.random((40, 30, 20)) ** 12
    count = mass.shape[axis]
    shape = [length if i in varying else 1 for i, length in enumerate(mass.shape)]
    shape[axis] = count + 1
    feet = np.sort(random.random(shape) * 1.2 * count - 0.1 * count, axis=axis)
    moved = Remap(feet, axis, mass.shape, periodic)(mass)
    assert (moved >= 0).all()
    np.testing.assert_allclose(moved.sum(axis), mass.sum(axis), rtol=1e-13)
    lines = np.moveaxis(mass, axis, 0)
    assert (centre_values(averages(lines, periodic), periodic) >= 0).all()
    # Feet told apart along every axis, though they are the same, give the same.
    every = np.broadcast_to(feet, [count + 1 if i == axis else length for i, length in enumerate(mass.shape)])
    np.testing.assert_allclose(Remap(every, axis, mass.shape, periodic)(mass), moved, atol=1e-15)


def test_remap_by_whole_cells_is_exact() -> None:
    mass = np.zeros(40)
    mass[10:20] = np.random.default_rng(0).random(10)
    moved = Remap(np.arange(41.0) - 7, 0, (40,))(mass)
    np.testing.assert_allclose(moved, np.roll(centre_values(averages(mass)), 7), atol=1e-15)
    around = Remap(np.arange(41.0) - 35, 0, (40,), periodic=True)(mass)
    np.testing.assert_allclose(around, np.roll(centre_values(averages(mass)), 35), atol=1e-15)


def test_remap_around_a_turn_is_of_order_four() -> None:
    errors = []
    for count in (32, 64):
        angle = 2 * np.pi * (np.arange(count) + 0.5) / count
        moved = Remap(np.arange(count + 1.0) - 0.37 * count / 32, 0, (count,), periodic=True)(np.exp(np.cos(angle)))
        errors.append(np.abs(moved - np.exp(np.cos(angle - 0.37 * 2 * np.pi / 32))).max())
    assert errors[0] / errors[1] > 12


@pytest.mark.parametrize("variance", [0.34, 0.5, 0.61, 0.9, 1.0, 20.0])
def test_gaussian_weights_are_positive_with_the_right_moments(variance: float) -> None:
    weights = gaussian_weights(variance)
    place = np.arange(len(weights)) - len(weights) // 2
    assert (weights > 0).all()
    assert weights.sum() == pytest.approx(1, abs=1e-14)
    assert weights @ place**2 == pytest.approx(variance, rel=1e-8)
    assert weights @ place**4 == pytest.approx(3 * variance**2, rel=5e-3)


@pytest.mark.parametrize("variance", [0.01, 0.1, 0.33])
def test_narrow_convolution_is_positive_with_the_right_moments(variance: float) -> None:
    place = np.arange(81.0) - 40
    smooth = np.exp(-(place**2) / 2 / 9)
    smooth /= smooth.sum()
    for axis, mass in ((0, smooth[:, None]), (1, smooth[None])):
        result = NarrowConvolution(variance, axis)(mass).ravel()
        assert result @ place**2 == pytest.approx(9 + variance, rel=1e-10)
        assert result @ place**4 == pytest.approx(3 * (9 + variance) ** 2, rel=1e-10)
    rough = np.random.default_rng(0).random((40, 30)) ** 12
    for mode in (False, True):
        result = NarrowConvolution(variance, 0, mode)(rough)
        assert (result > 0).all()
        np.testing.assert_allclose(result.sum(0), rough.sum(0), rtol=1e-13)


@pytest.mark.parametrize("periodic", [False, True], ids=["closed", "periodic"])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("variance", [0.2, 0.5, 30.0])
def test_convolution_reflects_at_the_ends_or_goes_around(variance: float, axis: int, periodic: bool) -> None:
    mass = np.zeros((100, 100, 100))
    mass[1, 1, 1] = 1.0
    kick: Convolution | NarrowConvolution = (
        Convolution(variance, axis, 100, periodic) if variance > 1 / 3 else NarrowConvolution(variance, axis, periodic)
    )
    result = kick(mass)
    assert result.sum() == pytest.approx(1, abs=1e-13)
    assert (result >= 0).all()
    line = np.moveaxis(result, axis, 0)[:, 1, 1]
    assert line.sum() == pytest.approx(1, abs=1e-13)
    place = np.arange(100)
    image = np.exp(-((place - 101) ** 2) / 60) if periodic else np.exp(-((place + 2) ** 2) / 60)
    kernel = np.exp(-((place - 1) ** 2) / 60) + image
    if variance == 30.0:
        np.testing.assert_allclose(line, kernel / kernel.sum(), atol=1e-12)


def test_shears_undo_each_other_and_go_around() -> None:
    place = np.arange(64)
    mass = np.exp(-0.5 * ((place[:, None] - 30) ** 2 / 400 + (place - 20) ** 2 / 16))
    shifts = np.linspace(-20, 20, 64)
    there = Shear(shifts, 1, 0, mass.shape)(mass)
    assert (there >= 0).all()
    np.testing.assert_allclose(there.sum(1), mass.sum(1), rtol=1e-12)
    np.testing.assert_allclose(Shear(-shifts, 1, 0, mass.shape)(there), mass, atol=1e-3)
    np.testing.assert_allclose(Shear(np.full(64, 50.0), 1, 0, mass.shape)(mass)[:, 6], mass[:, 20], atol=1e-3)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_correlated_kick_has_its_covariance(rank: int) -> None:
    factor = np.array([[0.5, 0.0, 0.0], [0.3, 0.4, 0.0], [-0.2, 0.2, 0.6]])[:, :rank]
    cells = Cells(lower=(-4.0,) * 3, upper=(4.0,) * 3, counts=(48, 56, 64))
    points = cells.points().numpy()
    mass = np.exp(-0.5 * np.square(points).sum(-1) / 0.25)
    mass /= mass.sum()
    for operation in gaussian_kick(factor @ factor.T, cells):
        mass = operation(mass)
    assert (mass >= 0).all()
    covariance = np.einsum("abc,abci,abcj->ij", mass, points, points)
    np.testing.assert_allclose(covariance, 0.25 * np.eye(3) + factor @ factor.T, atol=2e-5)


def test_correlated_noise_may_act_on_one_periodic_axis_but_not_on_two() -> None:
    covariance = np.array([[1.0, 0.5], [0.5, 1.0]])
    one = Cells(lower=(-2.0, -5.0), upper=(2.0, 5.0), counts=(64, 64), periodic=(True, False))
    points = one.points().numpy()
    mass = np.exp(-0.5 * np.square(points).sum(-1) / 0.04)
    mass /= mass.sum()
    for operation in gaussian_kick(0.04 * covariance, one):
        mass = operation(mass)
    found = np.einsum("ab,abi,abj->ij", mass, points, points)
    np.testing.assert_allclose(found, 0.04 * (np.eye(2) + covariance), atol=1e-6)
    both = Cells(lower=(-2.0, -2.0), upper=(2.0, 2.0), counts=(64, 64), periodic=(True, True))
    with pytest.raises(ValueError, match="correlated between two periodic components"):
        gaussian_kick(covariance, both)


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_covariance_is_the_sum_of_its_steps_along_the_grid(dimension: int) -> None:
    generator = np.random.default_rng(1)
    found = 0
    for _ in range(50):
        factor = generator.normal(size=(dimension, dimension))
        covariance = factor @ factor.T
        steps = steps_along_lattice(covariance)
        if steps is not None:
            found += 1
            assert min(variance for _, variance in steps) > 0
            total = sum(variance * np.outer(vector, vector) for vector, variance in steps)
            np.testing.assert_allclose(total, covariance, atol=1e-9 * np.trace(covariance))
    assert found > 15
    column = np.array([1.0, 0.37, 0.71])[:dimension]
    assert steps_along_lattice(np.outer(column, column)) is None  # of one noise, along no short vector


def test_feet_are_found_once_where_the_drift_does_not_depend_on_an_axis() -> None:
    process = Lorenz63()
    cells = Cells(lower=(-20.0, -20.0, 0.0), upper=(20.0, 20.0, 40.0), counts=(10, 12, 14))
    shapes = [feet(process, cells, axis, 0.0, 0.01).shape for axis in range(3)]
    assert shapes == [(11, 12, 1), (10, 13, 14), (10, 12, 15)]  # dx does not depend on z

    class Turned(Lorenz63):
        def drift(self, state: Tensor, time: Tensor) -> Tensor:
            return super().drift(state, time) + torch.where(time > 0.005, state[..., [2, 0, 1]], 0.0)

    assert feet(Turned(), cells, 0, 0.0, 0.01).shape == (11, 12, 14)
    assert feet(Turned(), cells, 0, 0.0, 0.01, frozen=True).shape == (11, 12, 1)
