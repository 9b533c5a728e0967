"""Euler-Maruyama against the exact law of its own chain, not of the continuum."""

import numpy as np
import pytest
import torch
import xarray as xr
from numpy.typing import NDArray

from physcore.trajectory import frames
from simulations import ActiveSwimmer, OrnsteinUhlenbeck, simulate

Matrix = NDArray[np.float64]
DT, STEPS, PATHS = 0.2, 40, 20_480

TRAP = OrnsteinUhlenbeck(
    drift_matrix=((-1.0, -1.0), (1.0, -1.0)),
    noise_matrix=((1.0, 0.0), (0.5, 0.8)),
    initial_mean=(1.0, -0.5),
    initial_covariance=((0.5, 0.1), (0.1, 0.2)),
)


def chain(process: OrnsteinUhlenbeck, dt: float, steps: int) -> list[tuple[Matrix, Matrix]]:
    """Mean and covariance of the discrete chain at every step: M = I + A dt, S <- M S M^T + G G^T dt."""
    noise = np.array(process.noise_matrix)
    propagator = np.eye(process.dimension) + dt * np.array(process.drift_matrix)
    mean, covariance = np.array(process.initial_mean), np.array(process.initial_covariance)
    laws = [(mean, covariance)]
    for _ in range(steps):
        mean, covariance = propagator @ mean, propagator @ covariance @ propagator.T + dt * noise @ noise.T
        laws.append((mean, covariance))
    return laws


def largest_z(samples: Matrix, mean: Matrix, covariance: Matrix) -> float:
    """Largest deviation of sample mean and covariance from a Gaussian law, in standard errors."""
    n, centred = len(samples), samples - mean
    z_mean = centred.mean(0) / np.sqrt(covariance.diagonal() / n)
    spread = np.sqrt((covariance**2 + np.outer(covariance.diagonal(), covariance.diagonal())) / n)
    z_covariance = (centred.T @ centred / n - covariance) / spread
    return float(max(np.abs(z_mean).max(), np.abs(z_covariance).max()))


@pytest.fixture(scope="module")
def run() -> xr.Dataset:
    return simulate(TRAP, paths=PATHS, duration=STEPS * DT, dt=DT, dtype="float64", seed=3)


@pytest.mark.parametrize("step", [0, 1, 2, 5, 10, STEPS])
def test_chain_has_its_exact_mean_and_covariance_from_the_first_step_on(run: xr.Dataset, step: int) -> None:
    samples = frames(TRAP, run, torch.float64)[step].numpy()
    assert largest_z(samples, *chain(TRAP, DT, STEPS)[step]) < 5


@pytest.mark.parametrize("step", [1, 2, 5, STEPS])
def test_the_law_of_the_continuum_is_told_from_that_of_the_chain(run: xr.Dataset, step: int) -> None:
    samples = frames(TRAP, run, torch.float64)[step].numpy()
    law = TRAP.law(torch.tensor(step * DT))
    assert largest_z(samples, law.mean.numpy(), law.covariance.numpy()) > 5


def test_stationary_variance_in_one_dimension_is_the_stated_one() -> None:
    k, diffusivity = 1.0, 0.7
    process = OrnsteinUhlenbeck(drift_matrix=((-k,),), noise_matrix=((np.sqrt(2 * diffusivity),),))
    samples = frames(process, simulate(process, paths=PATHS, duration=8.0, dt=DT, save_every=40, seed=5))[-1].numpy()
    exact = np.array([[2 * diffusivity * DT / (1 - (1 - k * DT) ** 2)]])
    np.testing.assert_allclose(exact, diffusivity / k / (1 - k * DT / 2))
    assert largest_z(samples, np.zeros(1), exact) < 5
    assert largest_z(samples, np.zeros(1), np.array([[diffusivity / k]])) > 5


def test_correlation_in_time_is_that_of_the_chain(run: xr.Dataset) -> None:
    states = frames(TRAP, run, torch.float64).numpy()
    late = states[STEPS] - states[STEPS].mean(0)
    early = states[STEPS - 1] - states[STEPS - 1].mean(0)
    products = late[:, :, None] * early[:, None, :]
    propagator = np.eye(2) + DT * np.array(TRAP.drift_matrix)
    covariance = chain(TRAP, DT, STEPS)[STEPS - 1][1]
    error = products.std(0) / np.sqrt(PATHS)
    assert np.abs((products.mean(0) - propagator @ covariance) / error).max() < 5
    assert np.abs((products.mean(0) - propagator.T @ covariance) / error).max() > 5


# Moments from the Fokker-Planck equation on a grid, two resolutions agreeing to 1e-3 (shared/science, section 5.4).
SWIMMER_MOMENTS = {1.0: (0.51876, 1.0, 0.58157, 0.48386), 3.0: (0.71364, 1.0, 0.75705, 0.74574)}
GRID_ERROR = 1e-3


def moment_z(states: Matrix, moments: tuple[float, ...], dt: float) -> Matrix:
    x, v = states[:, 0], states[:, 1]
    quantities = np.stack([x * x, v * v, x * v, x**4])
    error = quantities.std(1) / np.sqrt(len(x))
    exact = np.array(moments)
    # The tables' own error and the scheme's, first order in dt, stand beside the sampling error.
    return np.asarray((quantities.mean(1) - exact) / np.sqrt(error**2 + (GRID_ERROR * exact) ** 2 + dt**2))


def test_swimmer_has_the_moments_of_the_fokker_planck_equation() -> None:
    swimmer, dt = ActiveSwimmer(), 2e-3
    run = simulate(swimmer, paths=32_768, duration=1.0, dt=dt, save_every=500, seed=9)
    states = frames(swimmer, run, torch.float64)[-1].numpy()
    assert np.abs(moment_z(states, SWIMMER_MOMENTS[1.0], dt)).max() < 5
    assert np.abs(moment_z(states, SWIMMER_MOMENTS[3.0], dt)).max() > 10
