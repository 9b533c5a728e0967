"""The grid reference in three dimensions: what a solution keeps, how fast it converges, what is drawn from it."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis import entropy_production_rate, mean_local_velocity, probability_current
from analysis.references.fokker_planck import FokkerPlanck
from analysis.references.grid.march import Resolution, march
from analysis.references.grid.pilot import survey
from physcore.errors import NumericalError
from simulations import (
    DoubleWell,
    DoubleWellPotential,
    Duffing,
    InertialActiveOrnsteinUhlenbeck,
    OrnsteinUhlenbeck,
    TiltedRing,
    simulate,
)

PARTICLE = InertialActiveOrnsteinUhlenbeck()
# The same in the spring, solved exactly.
EXACT = OrnsteinUhlenbeck(
    drift_matrix=((0.0, 1.0, 0.0), (-1.0, -1.0, 1.0), (0.0, 0.0, -1.0)),
    noise_matrix=((0.0, 0.0), (1.0, 0.0), (0.0, math.sqrt(2.0))),
    initial_covariance=((0.49, 0.0, 0.0), (0.0, 0.49, 0.0), (0.0, 0.0, 1.0)),
)
BOX = ((-7.0, 7.0), (-7.0, 7.0), (-7.0, 7.0))


def score_error(reference: FokkerPlanck, time: float) -> float:
    law = EXACT.law(torch.tensor(time)) if math.isfinite(time) else EXACT.stationary_law()
    states = law.sample(10_000, torch.Generator().manual_seed(2))
    score, exact = reference.score(states, time), law.score(states)
    assert torch.isfinite(score).all()
    return float((score - exact).square().sum() / exact.square().sum())


@pytest.fixture(scope="module")
def particle() -> FokkerPlanck:
    reference = FokkerPlanck(PARTICLE, cells=(40, 40, 40))
    reference.prepare([0.5, 1.0, math.inf])
    return reference


@pytest.mark.parametrize("time", [0.5, 1.0, math.inf])
def test_score_of_an_inertial_active_particle(particle: FokkerPlanck, time: float) -> None:
    error, estimate = score_error(particle, time), particle.error_estimate(time)
    assert error < 2e-4
    assert error / 5 < estimate < 50 * error
    assert abs(particle.mass(time) - 1) < 1e-6
    law = EXACT.law(torch.tensor(time)) if math.isfinite(time) else EXACT.stationary_law()
    states = law.mean + torch.tensor([[0.0], [0.5]]) * law.covariance.diagonal().sqrt()
    torch.testing.assert_close(particle.log_density(states, time), law.log_density(states), atol=0.028, rtol=0)
    norm = float(torch.linalg.inv(law.covariance).trace())
    assert particle.score_norm(time).sum() == pytest.approx(norm, rel=0.042)


def test_density_stays_positive_and_whole() -> None:
    process = InertialActiveOrnsteinUhlenbeck(potential=DoubleWellPotential(), temperature=0.0, initial_width=0.2)
    windows = survey(process, 0.6).windows()
    steps = march(process, windows, Resolution((32, 28, 24), 1.0), [0.0, 0.05, 0.3, 0.6])
    masses = [mass for _, _, mass in steps]
    assert len(masses) == 4
    for mass in masses:
        assert mass.shape == (32, 28, 24)
        assert (mass >= 0).all()
        assert abs(mass.sum() - masses[0].sum()) < 1e-12


def test_error_falls_with_cells_and_step_as_claimed() -> None:
    errors = [
        score_error(FokkerPlanck(PARTICLE, box=BOX, cells=(count,) * 3, step=3.2 / count), 0.8) for count in (32, 48)
    ]
    assert np.sqrt(errors[0] / errors[1]) > 1.5**2.5  # order 4 in the cells, 2 in the step, and both are there


def test_equilibrium_is_stationary_without_a_current() -> None:
    process = OrnsteinUhlenbeck(
        drift_matrix=((-1.0, 0.3, 0.0), (0.3, -1.0, 0.2), (0.0, 0.2, -1.0)),
        noise_matrix=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    )
    reference = FokkerPlanck(process, cells=(32, 32, 32))
    states = process.stationary_law().sample(1000, torch.Generator().manual_seed(5))
    velocity = mean_local_velocity(process, reference, states, math.inf)
    drift = process.drift(states, torch.zeros(()))
    assert velocity.square().mean() < 1e-3 * drift.square().mean()


def test_currents_and_entropy_production_from_the_grid(particle: FokkerPlanck) -> None:
    trajectories = simulate(PARTICLE, paths=4000, duration=1.0, dt=0.01, save_times=[0.5, 1.0], seed=3)
    exact = entropy_production_rate(PARTICLE, EXACT, trajectories, times=[0.5, 1.0])
    found = entropy_production_rate(PARTICLE, particle, trajectories, times=[0.5, 1.0])
    np.testing.assert_allclose(found["value"], exact["value"], rtol=0.02, atol=2e-3)
    assert float(found["outside"].max()) == 0
    edges = [np.linspace(-2, 2, 9)] * 2
    currents = [probability_current(PARTICLE, s, trajectories, edges, times=[1.0]) for s in (particle, EXACT)]
    np.testing.assert_allclose(currents[0]["value"], currents[1]["value"], atol=2e-3)


def test_saved_solution_comes_back(particle: FokkerPlanck, tmp_path: Path) -> None:
    particle.save(tmp_path / "particle.nc")
    loaded = FokkerPlanck.load(tmp_path / "particle.nc", PARTICLE)
    states = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for time in (0.5, 1.0, math.inf):
        torch.testing.assert_close(loaded.score(states, time), particle.score(states, time), rtol=0, atol=0)
    assert repr(loaded) == repr(particle)
    assert loaded.times == (0.5, 1.0, math.inf)
    assert loaded.density(1.0).dims == ("x", "v", "u")


def test_stationary_law_of_a_particle_that_rarely_hops() -> None:
    process = DoubleWell(barrier=1.0, temperature=0.12)  # once in a time of exp(8)
    reference = FokkerPlanck(process, cells=(192,))
    states = torch.linspace(-1.4, 1.4, 500, dtype=torch.float64)[:, None]
    weight = torch.exp(-process.potential(states) / process.temperature)
    score, exact = reference.score(states, math.inf)[:, 0], process.stationary_score(states)[:, 0]
    known = torch.isfinite(score)
    assert known.sum() > 400
    assert (weight * (score - exact).square())[known].sum() < 1e-4 * (weight * exact.square())[known].sum()
    density = reference.density(math.inf)
    left = float(density.where(density["x"] < 0, 0.0).sum() / density.sum())
    assert left == pytest.approx(0.5, abs=2e-3)


def test_what_never_settles_or_changes_in_time_has_no_stationary_law() -> None:
    with pytest.raises(NumericalError, match="have not settled"):
        FokkerPlanck(TiltedRing(), cells=(32,)).prepare([math.inf])
    with pytest.raises(ValueError, match="do not depend on time"):
        FokkerPlanck(Duffing(forcing=0.3), cells=(32, 32)).prepare([math.inf])
