"""The Duffing oscillator: its force in time, and what is left of it without forcing."""

import math
from typing import Any

import pytest
import torch

from physcore import Process
from simulations import AnharmonicPotential, Duffing, UnderdampedLangevin


def test_force_is_that_of_the_trap_and_of_the_forcing() -> None:
    duffing = Duffing(friction=0.2, mass=2.0, stiffness=-1.5, anharmonicity=0.7, forcing=0.4, frequency=1.3)
    state, time = torch.tensor([0.8, -0.3], dtype=torch.float64), torch.tensor(0.9, dtype=torch.float64)
    force = 1.5 * 0.8 - 0.7 * 0.8**3 + 0.4 * math.cos(1.3 * 0.9)
    expected = torch.tensor([-0.3, force / 2.0 + 0.2 * 0.3], dtype=torch.float64)
    torch.testing.assert_close(duffing.drift(state, time), expected)
    rate = torch.tensor([0.0, -0.4 * 1.3 * math.sin(1.3 * 0.9) / 2.0], dtype=torch.float64)
    torch.testing.assert_close(duffing.drift_rate(state, time), rate)


def test_defaults_without_noise_and_forcing_rest_in_the_published_wells() -> None:
    duffing = Duffing(forcing=0.0)
    wells = torch.tensor([[-1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    time = torch.zeros(2, dtype=torch.float64)
    torch.testing.assert_close(duffing.drift(wells, time), torch.zeros_like(wells))
    eigenvalues = torch.linalg.eigvals(Process.jacobian(duffing, wells, time))
    assert (eigenvalues.real < 0).all()


def test_without_forcing_it_is_the_particle_in_an_anharmonic_trap(points: Any) -> None:
    duffing = Duffing(forcing=0.0, stiffness=-1.0, anharmonicity=1.0)
    particle = UnderdampedLangevin(
        potential=AnharmonicPotential(stiffness=-1.0, anharmonicity=1.0), friction=0.25, temperature=0.1
    )
    state, time = points(2), torch.full((50,), 0.7, dtype=torch.float64)
    torch.testing.assert_close(duffing.drift(state, time), particle.drift(state, time))
    assert torch.equal(duffing.noise(time), particle.noise(time))
    for ours, theirs in zip(duffing.known_moments, particle.known_moments, strict=True):
        torch.testing.assert_close(ours.observable(state), theirs.observable(state))
        assert float(ours.expectation(torch.tensor(math.inf))) == float(theirs.expectation(torch.tensor(math.inf)))
    assert Duffing().known_moments == ()


def test_d7_parameters_out_of_range_are_refused_by_name() -> None:
    for name, value in {"friction": 0.0, "anharmonicity": -1.0, "stiffness": math.nan, "forcing": math.inf}.items():
        with pytest.raises(ValueError, match=f"`{name}`"):
            Duffing(**{name: value})
