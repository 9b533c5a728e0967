"""The noisy van der Pol oscillator: its balances, exact and simulated."""

from typing import Any

import pytest
import torch

from simulations import VanDerPol

OSCILLATOR = VanDerPol(nonlinearity=0.8, frequency=1.4, diffusivity=0.3)


def test_balances_are_exact(points: Any, generator_of: Any) -> None:
    state = points(2)
    virial, dissipation = OSCILLATOR.known_moments

    def product(x: torch.Tensor) -> torch.Tensor:
        square = x[..., 0].square()
        return x[..., 0] * x[..., 1] - 0.8 * (square / 2 - square.square() / 4)

    def energy(x: torch.Tensor) -> torch.Tensor:
        return 0.5 * x[..., 1].square() + 0.5 * 1.4**2 * x[..., 0].square()

    torch.testing.assert_close(generator_of(OSCILLATOR, product, state), virial.observable(state))
    torch.testing.assert_close(generator_of(OSCILLATOR, energy, state), 0.3 - dissipation.observable(state))
    assert [float(m.expectation(torch.tensor(torch.inf))) for m in (virial, dissipation)] == [0.0, 0.3]


def test_simulated_balances_are_the_exact_ones(stationary_z: Any) -> None:
    late = stationary_z(OSCILLATOR, duration=12.0, dt=2e-3)
    assert all(abs(z) < 5 for z in late.values()), late
    early = stationary_z(OSCILLATOR, duration=1.0, dt=2e-3)
    assert any(abs(z) > 5 for z in early.values()), early


def test_small_swings_grow_and_large_ones_decay() -> None:
    state = torch.tensor([[0.1, 1.0], [3.0, 1.0]], dtype=torch.float64)
    drift = VanDerPol(nonlinearity=2.0).drift(state, torch.zeros(2))
    expected = torch.tensor([2 * 0.99 - 0.1, 2 * (1 - 9.0) - 3.0], dtype=torch.float64)
    torch.testing.assert_close(drift[:, 1], expected)


def test_d7_parameters_out_of_range_are_refused_by_name() -> None:
    for name in ("nonlinearity", "frequency", "diffusivity", "initial_width"):
        with pytest.raises(ValueError, match=f"`{name}`"):
            VanDerPol(**{name: -1.0})
