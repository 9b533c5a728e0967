"""The ring of Lorenz: its drift place by place, contraction and the exact balance of energy."""

from typing import Any

import pytest
import torch

from simulations import Lorenz96


def test_drift_is_the_published_one_place_by_place() -> None:
    ring = Lorenz96(sites=7, forcing=5.0)
    x = torch.randn(7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = [(x[(i + 1) % 7] - x[i - 2]) * x[i - 1] - x[i] + 5.0 for i in range(7)]
    torch.testing.assert_close(ring.drift(x, torch.zeros(())), torch.stack(expected))


def test_the_fixed_point_is_at_the_forcing() -> None:
    ring = Lorenz96()
    still = torch.full((40,), 8.0, dtype=torch.float64)
    assert not ring.drift(still, torch.zeros(())).any()
    rates = torch.linalg.eigvals(ring.jacobian(still, torch.zeros(()))).real
    assert rates.max() > 0, "and unstable"


@pytest.mark.parametrize("sites", [4, 9])
def test_balance_of_energy_and_contraction_are_exact(sites: int, points: Any, generator_of: Any) -> None:
    ring = Lorenz96(sites=sites, forcing=6.0, noise_strength=0.7)
    state, (balance,) = points(sites), ring.known_moments
    expected = float(balance.expectation(torch.tensor(torch.inf)))
    assert expected == pytest.approx(sites * 0.7**2 / 2)
    change = generator_of(ring, lambda x: 0.5 * x.square().sum(-1), state)
    torch.testing.assert_close(change, expected - balance.observable(state))
    trace = ring.jacobian(state, torch.zeros(())).diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(trace, torch.full((50,), ring.divergence, dtype=torch.float64))


def test_simulated_balance_of_energy_is_the_exact_one(stationary_z: Any) -> None:
    ring = Lorenz96(sites=8)
    assert abs(stationary_z(ring, duration=6.0, dt=2e-3, paths=512)["balance of energy"]) < 5
    assert abs(stationary_z(ring, duration=0.3, dt=2e-3, paths=512)["balance of energy"]) > 5


def test_d7_parameters_out_of_range_are_refused_by_name() -> None:
    for name, value in {"sites": 3, "noise_strength": 0.0, "forcing": float("nan")}.items():
        with pytest.raises(ValueError, match=f"`{name}`"):
            Lorenz96(**{name: value})
