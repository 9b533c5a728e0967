"""Lorenz's three variables: fixed points, contraction and exact balances."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from simulations import Lorenz63

ATTRACTOR = Lorenz63(prandtl=9.0, rayleigh=26.0, aspect=2.5, noise_strength=1.3)


def test_fixed_points_are_the_published_ones() -> None:
    roll = math.sqrt(8 / 3 * 27)
    states = torch.tensor([[0, 0, 0], [roll, roll, 27], [-roll, -roll, 27]], dtype=torch.float64)
    drift = Lorenz63().drift(states, torch.zeros(3))
    torch.testing.assert_close(drift, torch.zeros_like(drift), rtol=0, atol=1e-12)


def test_volumes_shrink_at_a_constant_rate(points: Any) -> None:
    trace = ATTRACTOR.jacobian(points(3), torch.zeros(())).diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(trace, torch.full((50,), ATTRACTOR.divergence, dtype=torch.float64))
    assert Lorenz63().divergence == pytest.approx(-41 / 3)


def test_balances_are_exact(points: Any, generator_of: Any) -> None:
    state = points(3)
    functions = (
        lambda x: -x[..., 2],
        lambda x: 0.5 * x[..., 0].square(),
        lambda x: 0.5 * (x[..., 1].square() + x[..., 2].square()),
    )
    for function, moment in zip(functions, ATTRACTOR.known_moments, strict=True):
        expected = float(moment.expectation(torch.tensor(torch.inf)))
        change: Tensor = generator_of(ATTRACTOR, function, state)
        torch.testing.assert_close(change, expected - moment.observable(state), rtol=1e-10, atol=1e-10)


def test_simulated_balances_are_the_exact_ones(stationary_z: Any) -> None:
    late = stationary_z(Lorenz63(), duration=12.0, dt=2e-3, paths=512)
    assert all(abs(z) < 5 for z in late.values()), late
    early = stationary_z(Lorenz63(), duration=4.0, dt=2e-3, paths=512)
    assert any(abs(z) > 5 for z in early.values()), early


def test_d7_parameters_out_of_range_are_refused_by_name() -> None:
    for name in ("prandtl", "rayleigh", "aspect", "noise_strength"):
        with pytest.raises(ValueError, match=f"`{name}`"):
            Lorenz63(**{name: 0.0})
