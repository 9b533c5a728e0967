"""The exactly solved process against matrix exponentials, Lyapunov's equation and known entropy production."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import torch
from numpy.typing import NDArray

from simulations import OrnsteinUhlenbeck

Matrix = NDArray[np.float64]


def random_process(d: int) -> OrnsteinUhlenbeck:
    random = np.random.default_rng(d)
    drift = random.standard_normal((d, d)) / math.sqrt(d) - 2 * np.eye(d)
    noise, root = random.standard_normal((d, d)), random.standard_normal((d, d))
    return OrnsteinUhlenbeck(
        drift_matrix=tuple(map(tuple, drift)),
        noise_matrix=tuple(map(tuple, noise)),
        initial_mean=tuple(random.standard_normal(d)),
        initial_covariance=tuple(map(tuple, root @ root.T + 0.1 * np.eye(d))),
    )


def matrices(process: OrnsteinUhlenbeck) -> tuple[Matrix, Matrix]:
    noise = np.array(process.noise_matrix)
    return np.array(process.drift_matrix), noise @ noise.T


@pytest.mark.parametrize("d", [1, 2, 3, 8, 9, 10])
def test_law_equals_matrix_exponential_and_lyapunov(d: int) -> None:
    process = random_process(d)
    drift, diffusion = matrices(process)
    stationary = scipy.linalg.solve_continuous_lyapunov(drift, -diffusion)
    times = torch.tensor([0.0, 0.01, 0.5, 2.0, 20.0], dtype=torch.float64)
    law = process.law(times)
    for k, time in enumerate(times.tolist()):
        propagator = scipy.linalg.expm(time * drift)
        # Sigma_t = Sigma_inf + F (Sigma_0 - Sigma_inf) F^T
        covariance = stationary + propagator @ (np.array(process.initial_covariance) - stationary) @ propagator.T
        np.testing.assert_allclose(law.mean[k], propagator @ process.initial_mean, rtol=0, atol=1e-12)
        np.testing.assert_allclose(law.covariance[k], covariance, rtol=0, atol=1e-12 * np.abs(covariance).max() * d)


def test_law_becomes_the_stationary_one() -> None:
    process = random_process(3)
    late, stationary = process.law(torch.tensor(50.0)), process.stationary_law()
    torch.testing.assert_close(late.covariance, stationary.covariance, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(late.mean, stationary.mean, rtol=1e-12, atol=1e-12)


def test_law_broadcasts_over_times() -> None:
    process = random_process(3)
    times = torch.rand(2, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    law = process.law(times)
    assert law.mean.shape == (2, 4, 3)
    assert law.covariance.shape == (2, 4, 3, 3)
    torch.testing.assert_close(law.covariance[1, 2], process.law(times[1, 2]).covariance, rtol=1e-13, atol=1e-13)


def test_score_is_the_gradient_of_the_log_density() -> None:
    process, time = random_process(3), torch.tensor(0.4)
    state = torch.randn(9, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    gradient = torch.autograd.grad(process.log_density(state, time).sum(), state)[0]
    torch.testing.assert_close(process.score(state.detach(), time), gradient, rtol=1e-10, atol=1e-10)


def test_density_solves_the_fokker_planck_equation() -> None:
    process, step = random_process(2), 1e-4
    drift, diffusion = (torch.from_numpy(matrix) for matrix in matrices(process))
    state = torch.randn(7, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    time = torch.tensor(0.3, dtype=torch.float64)
    rate = (process.log_density(state, time + step) - process.log_density(state, time - step)) / (2 * step)
    score, precision = process.score(state, time), torch.linalg.inv(process.covariance(time))
    force = process.drift(state, time)
    # d(log p)/dt = -div f - f.s + (tr(Q grad s) + s.Q s) / 2, with grad s = -Sigma^{-1}
    curvature = -torch.trace(diffusion @ precision) + ((score @ diffusion) * score).sum(-1)
    expected = -torch.trace(drift) - (force * score).sum(-1) + curvature / 2
    torch.testing.assert_close(rate, expected, rtol=1e-5, atol=1e-5)


def entropy_production(process: OrnsteinUhlenbeck) -> float:
    r"""Return the stationary rate :math:`E |J|_{D^{-1}}^2` with :math:`J = A x + D \Sigma^{-1} x` and D = Q / 2."""
    drift, diffusion = matrices(process)
    covariance = process.stationary_law().covariance.numpy()
    current = drift + 0.5 * diffusion @ np.linalg.inv(covariance)
    return float(np.trace(np.linalg.inv(0.5 * diffusion) @ current @ covariance @ current.T))


@pytest.mark.parametrize(("k", "a", "diffusivity"), [(1.0, 1.0, 1.0), (0.5, 2.0, 0.3), (3.0, 0.0, 1.0)])
def test_rotating_trap_produces_entropy_at_its_rate(k: float, a: float, diffusivity: float) -> None:
    process = OrnsteinUhlenbeck.rotating_trap(stiffness=k, rotation=a, diffusivity=diffusivity)
    assert entropy_production(process) == pytest.approx(2 * a**2 / k, abs=1e-12)
    np.testing.assert_allclose(process.stationary_law().covariance, diffusivity / k * np.eye(2), atol=1e-14)


@pytest.mark.parametrize(("k", "g", "hot", "cold"), [(1.0, 1.0, 2.0, 1.0), (0.5, 2.0, 5.0, 0.4), (1.0, 1.0, 1.0, 1.0)])
def test_brownian_gyrator_produces_entropy_at_its_rate(k: float, g: float, hot: float, cold: float) -> None:
    process = OrnsteinUhlenbeck.brownian_gyrator(stiffness=k, friction=g, hot=hot, cold=cold)
    expected = k * (hot - cold) ** 2 / (4 * g * hot * cold)
    assert entropy_production(process) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_entropy_production_is_the_dissipated_heat_over_temperature() -> None:
    """An independent road to the gyrator's rate: heat flows from hot to cold at <x1 x2> rates."""
    k, g, hot, cold = 1.0, 1.0, 2.0, 1.0
    process = OrnsteinUhlenbeck.brownian_gyrator(stiffness=k, friction=g, hot=hot, cold=cold)
    covariance = process.stationary_law().covariance.numpy()
    # Work of spring on bead 1 per time: E[k (x2 - 2 x1) o dx1] = -(heat taken up), by Stratonovich calculus.
    heat = k / g * (k * (covariance[1, 1] - 4 * covariance[0, 1] + 4 * covariance[0, 0]) - 2 * hot)
    assert entropy_production(process) == pytest.approx(abs(heat) * abs(1 / cold - 1 / hot), rel=1e-12)


@pytest.mark.parametrize(
    ("parameters", "what"),
    [
        ({"drift_matrix": ((1.0, 0.0), (0.0, -1.0))}, "stable"),
        ({"drift_matrix": ((-1.0, 0.0),)}, "square"),
        ({"noise_matrix": ((1.0,),)}, "2 rows"),
        ({"noise_matrix": ((1.0,), (0.0,))}, "untouched"),
        ({"initial_mean": (0.0,)}, "initial_mean"),
        ({"initial_covariance": ((1.0, 0.5), (0.0, 1.0))}, "symmetric"),
        ({"initial_covariance": ((1.0, 2.0), (2.0, 1.0))}, "-1"),
        ({"drift_matrix": ((math.nan, 0.0), (0.0, -1.0))}, "finite"),
        ({"drift_matrix": "matrix"}, "drift_matrix"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_d7_wrong_matrices_are_refused_by_name(parameters: dict[str, object], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        OrnsteinUhlenbeck(**parameters)


def test_noise_that_reaches_a_component_through_the_drift_is_enough() -> None:
    process = OrnsteinUhlenbeck(drift_matrix=((0.0, 1.0), (-1.0, -1.0)), noise_matrix=((0.0,), (1.0,)))
    assert process.driven == (1,)
    torch.testing.assert_close(process.stationary_law().covariance, 0.5 * torch.eye(2, dtype=torch.float64))
