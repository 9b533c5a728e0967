"""Motion with inertia in any potential: parts of the drift, the Boltzmann law, and its moments."""

from typing import Any

import pytest
import torch

from simulations import (
    AnharmonicPotential,
    CosinePotential,
    DoubleWellPotential,
    HarmonicPotential,
    MexicanHatPotential,
    UnderdampedLangevin,
)

SETTINGS = {"friction": 0.7, "temperature": 0.6, "mass": 1.8}
PROCESSES = [
    UnderdampedLangevin(potential=potential, **SETTINGS)
    for potential in (DoubleWellPotential(), HarmonicPotential(dimension=3), MexicanHatPotential())
]


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p.potential).__name__)
class TestBoltzmann:
    def test_the_boltzmann_law_is_stationary(self, process: Any, points: Any, change_of_density: Any) -> None:
        state = points(process.dimension)
        assert change_of_density(process, process.stationary_log_density, state).abs().max() < 1e-11

    def test_a_law_of_another_mass_is_not(self, process: Any, points: Any, change_of_density: Any) -> None:
        wrong = UnderdampedLangevin(potential=process.potential, **{**SETTINGS, "mass": 2.0})
        change = change_of_density(process, wrong.stationary_log_density, points(process.dimension))
        assert change.abs().max() > 1e-2

    def test_stationary_score_is_the_slope_of_the_log_density(self, process: Any, points: Any) -> None:
        state = points(process.dimension)
        slope = torch.func.grad(lambda x: process.stationary_log_density(x).sum())(state)
        torch.testing.assert_close(process.stationary_score(state), slope)

    def test_kinetic_energy_and_virial_are_exact(self, process: Any, points: Any, generator_of: Any) -> None:
        n, state = process.positions, points(process.dimension)
        kinetic, virial = process.known_moments
        expected = [float(moment.expectation(torch.tensor(torch.inf))) for moment in (kinetic, virial)]

        def energy(x: torch.Tensor) -> torch.Tensor:
            return process.potential.energy(x[..., :n]) + 0.5 * process.mass * x[..., n:].square().sum(-1)

        def momentum(x: torch.Tensor) -> torch.Tensor:
            position, velocity = x[..., :n], x[..., n:]
            return process.mass * (position * velocity + 0.5 * process.friction * position.square()).sum(-1)

        loss = 2 * process.friction * (expected[0] - kinetic.observable(state))
        torch.testing.assert_close(generator_of(process, energy, state), loss)
        balance = 2 * kinetic.observable(state) - virial.observable(state)
        torch.testing.assert_close(generator_of(process, momentum, state), balance)
        assert expected[1] == pytest.approx(2 * expected[0])
        assert expected[0] == pytest.approx(n * process.temperature / 2)


def test_drift_is_velocity_and_acceleration() -> None:
    process = UnderdampedLangevin(potential=HarmonicPotential(stiffness=3.0, dimension=2), **SETTINGS)
    assert process.positions == 2
    assert [variable.name for variable in process.variables] == ["x0", "x1", "v0", "v1"]
    assert process.driven == (2, 3)
    state = torch.tensor([1.0, -2.0, 0.5, 0.25], dtype=torch.float64)
    expected = torch.tensor([0.5, 0.25, -3 / 1.8 - 0.35, 6 / 1.8 - 0.175], dtype=torch.float64)
    torch.testing.assert_close(process.drift(state, torch.zeros(())), expected)
    spread = process.noise(torch.zeros(())) @ process.noise(torch.zeros(())).mT
    torch.testing.assert_close(spread[2:, 2:], 2 * 0.7 * 0.6 / 1.8 * torch.eye(2, dtype=torch.float64))


def test_simulated_moments_are_the_exact_ones(stationary_z: Any) -> None:
    process = UnderdampedLangevin(potential=AnharmonicPotential(), friction=1.5)
    late = stationary_z(process, duration=8.0, dt=4e-3)
    assert all(abs(z) < 5 for z in late.values()), late
    assert abs(stationary_z(process, duration=0.04, dt=4e-3)["virial"]) > 5, "far from stationary"


def test_a_potential_that_does_not_confine_has_no_stationary_law() -> None:
    process = UnderdampedLangevin(potential=CosinePotential(tilt=0.5))
    assert process.known_moments == ()
    for method in (process.stationary_log_density, process.stationary_score):
        with pytest.raises(ValueError, match="does not confine"):
            method(torch.zeros(3, 2))


def test_d7_parameters_out_of_range_are_refused_by_name() -> None:
    for name in ("friction", "temperature", "mass", "initial_width"):
        with pytest.raises(ValueError, match=f"`{name}`"):
            UnderdampedLangevin(**{name: 0.0})
    with pytest.raises(ValueError, match="`initial_position` must have 1"):
        UnderdampedLangevin(initial_position=(0.0, 0.0))
