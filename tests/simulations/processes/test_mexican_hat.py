"""The driven Mexican hat: a current without divergence, known moments and dissipation."""

import math
from typing import Any

import pytest
import scipy.integrate
import torch

from simulations import MexicanHat

HAT = MexicanHat(barrier=0.8, radius=1.2, rotation=1.7, temperature=0.6, friction=2.0)


def test_the_boltzmann_law_is_stationary_under_rotation(points: Any, change_of_density: Any) -> None:
    change = change_of_density(HAT, HAT.stationary_log_density, points(2))
    assert change.abs().max() < 1e-11


def test_a_law_that_is_not_round_is_not_stationary(points: Any, change_of_density: Any) -> None:
    change = change_of_density(HAT, lambda x: HAT.stationary_log_density(x) + 0.1 * x[..., 0], points(2))
    assert change.abs().max() > 0.05


@pytest.mark.parametrize("temperature", [0.05, 0.6, 5.0])
def test_norm_and_mean_square_are_those_of_quadrature(temperature: float) -> None:
    hat = MexicanHat(barrier=0.8, radius=1.2, temperature=temperature)

    def radial(r: float, power: int) -> float:
        density = math.exp(float(hat.stationary_log_density(torch.tensor([r, 0.0], dtype=torch.float64))))
        return 2 * math.pi * r ** (power + 1) * density

    mass, square = (scipy.integrate.quad(radial, 0, 6, args=(n,), points=[1.2])[0] for n in (0, 2))
    assert mass == pytest.approx(1, rel=1e-9)
    assert square == pytest.approx(hat.stationary_mean_square, rel=1e-9)


def test_stationary_score_is_the_slope_of_the_log_density(points: Any) -> None:
    slope = torch.func.grad(lambda x: HAT.stationary_log_density(x).sum())(points(2))
    torch.testing.assert_close(HAT.stationary_score(points(2)), slope)


def test_entropy_production_is_the_mean_square_of_the_current(points: Any) -> None:
    state = points(2)
    diffusivity = HAT.temperature / HAT.friction
    local = HAT.drift(state, torch.zeros(())) - diffusivity * HAT.stationary_score(state)
    rate = local.square().sum(-1) / diffusivity
    expected = HAT.stationary_entropy_production_rate * state.square().sum(-1) / HAT.stationary_mean_square
    torch.testing.assert_close(rate, expected)
    assert MexicanHat(rotation=0.0).stationary_entropy_production_rate == 0


def test_simulated_moments_are_the_exact_ones(stationary_z: Any) -> None:
    late = stationary_z(HAT, duration=6.0, dt=2e-3)
    assert set(late) == {"virial", "mean square distance"}
    assert all(abs(z) < 5 for z in late.values()), late
    early = stationary_z(HAT, duration=0.02, dt=2e-3)
    assert all(abs(z) > 5 for z in early.values()), early


def test_d7_parameters_out_of_range_are_refused_by_name() -> None:
    for name, value in {"barrier": 0.0, "temperature": -1.0, "rotation": math.inf}.items():
        with pytest.raises(ValueError, match=f"`{name}`"):
            MexicanHat(**{name: value})
