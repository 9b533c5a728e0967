"""Brownian motion in any potential: the Boltzmann law, its virial, and the potentials that have none."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from simulations import (
    AnharmonicPotential,
    CosinePotential,
    DoubleWellPotential,
    HarmonicPotential,
    MexicanHatPotential,
    MuellerBrown,
    MuellerBrownPotential,
    OverdampedLangevin,
)
from simulations.processes.mueller_brown import START

PROCESSES = [
    OverdampedLangevin(potential=HarmonicPotential(dimension=2), temperature=0.7, friction=2.0),
    OverdampedLangevin(potential=AnharmonicPotential(dimension=3), temperature=0.7, friction=2.0),
    OverdampedLangevin(potential=DoubleWellPotential(), temperature=0.4),
    OverdampedLangevin(potential=MexicanHatPotential(), temperature=0.4),
    MuellerBrown(scale=0.02, temperature=1.5, friction=0.5),
]


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p.potential).__name__)
class TestBoltzmann:
    def test_the_boltzmann_law_is_stationary(self, process: Any, points: Any, change_of_density: Any) -> None:
        state = points(process.dimension)
        state = state[process.potential.energy(state) < 20]
        change = change_of_density(process, process.stationary_log_density, state)
        rate = process.jacobian(state, torch.zeros(())).abs().sum((-2, -1))
        assert (change.abs() / rate).max() < 1e-10

    def test_a_law_of_another_temperature_is_not(self, process: Any, points: Any, change_of_density: Any) -> None:
        state = points(process.dimension)
        change = change_of_density(process, lambda x: 1.1 * process.stationary_log_density(x), state)
        assert change.abs().max() > 1e-2

    def test_stationary_score_is_the_slope_of_the_log_density(self, process: Any, points: Any) -> None:
        state = points(process.dimension)
        slope = torch.func.grad(lambda x: process.stationary_log_density(x).sum())(state)
        torch.testing.assert_close(process.stationary_score(state), slope)

    def test_virial_is_exact(self, process: Any, points: Any, generator_of: Any) -> None:
        state, (virial,) = points(process.dimension), process.known_moments
        expected = float(virial.expectation(torch.tensor(torch.inf)))
        change = generator_of(process, lambda x: 0.5 * process.friction * (x * x).sum(-1), state)
        torch.testing.assert_close(change, expected - virial.observable(state))
        assert torch.isnan(virial.expectation(torch.tensor([0.0, 1.0]))).all()


def test_simulated_virial_is_the_exact_one(stationary_z: Callable[..., dict[str, float]]) -> None:
    process = OverdampedLangevin(potential=AnharmonicPotential(dimension=2))
    assert abs(stationary_z(process, duration=4.0, dt=4e-3)["virial"]) < 5
    assert abs(stationary_z(process, duration=0.02, dt=4e-3)["virial"]) > 5, "far from stationary"


def test_a_potential_that_does_not_confine_has_no_stationary_law() -> None:
    process = OverdampedLangevin(potential=CosinePotential(tilt=0.5))
    assert process.known_moments == ()
    for method in (process.stationary_log_density, process.stationary_score):
        with pytest.raises(ValueError, match="does not confine"):
            method(torch.zeros(3, 1))


def test_an_initial_position_of_the_wrong_dimension_is_refused() -> None:
    assert OverdampedLangevin(initial_position=(1, 2)).initial_law.mean.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="`initial_position` must have 2 entries"):
        OverdampedLangevin(initial_position=(1.0,))
    with pytest.raises(ValueError, match="`initial_position` must be finite"):
        OverdampedLangevin(initial_position=(1.0, torch.nan))


def test_mueller_brown_starts_in_its_middle_well() -> None:
    process = MuellerBrown()
    assert process.initial_law.mean.tolist() == list(START)
    curvature = torch.func.hessian(process.potential.energy)(process.initial_law.mean)
    assert torch.linalg.eigvalsh(curvature).min() > 0
    assert process.potential == MuellerBrownPotential(scale=process.scale)
    with pytest.raises(ValueError, match="`scale`"):
        MuellerBrown(scale=0.0)
