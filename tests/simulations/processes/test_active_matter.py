"""Active particles against correlation integrals, moment equations, and their own simulation."""

import math
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import torch

from physcore import KnownMoment, Process
from physcore.trajectory import frames
from simulations import (
    ActiveBrownianParticle,
    ActiveBrownianParticles,
    ActiveOrnsteinUhlenbeck,
    ActiveParticlesOnRing,
    AnharmonicPotential,
    HarmonicPotential,
    InertialActiveOrnsteinUhlenbeck,
    simulate,
)
from simulations.initial_arrangement import even_headings, square_lattice
from simulations.persistent_motion import convolved, relaxed, trapped_variance

TIMES = torch.tensor([0.0, 0.3, 2.0, 9.0], dtype=torch.float64)
RATES = [(0.5, 0.16), (0.0, 0.16), (0.7, 0.7), (2.0, 1.0), (1.0, 2.0)]
EVERY_RATE = pytest.mark.parametrize(("stiffness", "memory"), RATES, ids=str)


def named(process: Process, name: str) -> KnownMoment:
    return next(moment for moment in process.known_moments if moment.name == name)


@EVERY_RATE
def test_trapped_variance_is_the_double_integral_of_the_correlation(stiffness: float, memory: float) -> None:
    parts = {"push_variance": 0.8, "diffusivity": 0.3, "initial": 0.5}
    variance = trapped_variance(TIMES, stiffness=stiffness, memory_rate=memory, **parts)
    for time, value in zip(TIMES.tolist(), variance.tolist(), strict=True):

        def correlated(s: float, u: float, time: float = time) -> float:
            return math.exp(-stiffness * (2 * time - s - u) - memory * (u - s))

        pushed = 2 * scipy.integrate.dblquad(correlated, 0, time, 0, lambda u: u)[0] if time > 0 else 0.0
        thermal = scipy.integrate.quad(lambda s, time=time: math.exp(-2 * stiffness * (time - s)), 0, time)[0]
        expected = 0.5 * math.exp(-2 * stiffness * time) + 0.8 * pushed + 0.6 * thermal
        assert value == pytest.approx(expected, rel=1e-7)


@EVERY_RATE
def test_variance_at_infinite_time_is_the_stationary_one(stiffness: float, memory: float) -> None:
    late = trapped_variance(
        torch.tensor(math.inf), stiffness=stiffness, memory_rate=memory, push_variance=0.8, diffusivity=0.3, initial=0.5
    )
    stationary = 0.3 / stiffness + 0.8 / (stiffness * (stiffness + memory)) if stiffness else math.inf
    assert float(late) == pytest.approx(stationary, rel=1e-13)


def test_integrals_are_continuous_where_rates_meet_and_vanish() -> None:
    times = torch.cat([TIMES, torch.tensor([math.inf], dtype=torch.float64)])
    for first, second in ((0.7, 0.7), (0.0, 0.7), (1e-9, 0.7)):
        near = convolved(times, first, second + 1e-9)
        torch.testing.assert_close(convolved(times, first, second)[:4], near[:4], rtol=1e-7, atol=1e-7)
    assert torch.equal(relaxed(times, 0.0), times)
    assert convolved(times, 0.7, 0.7)[-1] == 0
    assert float(convolved(times, 0.0, 0.7)[-1]) == pytest.approx(1 / 0.7)


def test_a_free_swimmer_spreads_as_howse_and_others_found() -> None:
    free = ActiveBrownianParticle(stiffness=0.0, initial_width=1e-9)
    v, d, dr, t = free.speed, free.diffusivity, free.rotational_diffusivity, TIMES
    expected = 4 * d * t + 2 * v**2 / dr**2 * (dr * t + torch.exp(-dr * t) - 1)
    torch.testing.assert_close(named(free, "mean square distance").expectation(t), expected, rtol=1e-10, atol=1e-15)
    late = torch.tensor(1e6, dtype=torch.float64)
    assert float(named(free, "mean square distance").expectation(late) / late) == pytest.approx(
        4 * d + 2 * v**2 / dr, rel=1e-4
    )


def test_a_trapped_swimmer_has_its_stationary_spread() -> None:
    trapped = ActiveBrownianParticle(stiffness=0.5)
    late = float(named(trapped, "mean square distance").expectation(torch.tensor(math.inf)))
    assert late == pytest.approx(2 * 0.22 / 0.5 + 9 / (0.5 * 0.66), rel=1e-12)
    # d<r^2>/dt = -2 k <r^2> + 2 <push . r> + 4 D vanishes
    push = float(named(trapped, "push along the position").expectation(torch.tensor(math.inf)))
    assert -late + 2 * push + 4 * 0.22 == pytest.approx(0, abs=1e-12)


def test_a_linear_active_particle_follows_its_moment_equation() -> None:
    process = ActiveOrnsteinUhlenbeck(
        potential=HarmonicPotential(stiffness=0.6), persistence_time=2.0, swim_variance=1.5, diffusivity=0.2
    )
    drift = process.jacobian(torch.zeros(2, dtype=torch.float64), torch.zeros(())).numpy()
    noise = process.noise(torch.zeros(())).numpy()
    stationary = scipy.linalg.solve_continuous_lyapunov(drift, -noise @ noise.T)
    for time in TIMES:
        flow = scipy.linalg.expm(float(time) * drift)
        covariance = stationary + flow @ (np.diag([1.0, 1.5]) - stationary) @ flow.T
        for name, entry in (("variance", (0, 0)), ("swim pressure", (0, 1)), ("swim variance", (1, 1))):
            assert float(named(process, name).expectation(time)) == pytest.approx(covariance[entry], abs=1e-12)


def test_known_moments_of_an_active_particle_are_those_of_its_potential() -> None:
    anharmonic = ActiveOrnsteinUhlenbeck(potential=AnharmonicPotential(anharmonicity=0.5))
    assert {moment.name for moment in anharmonic.known_moments} == {"swim variance", "virial"}
    assert ActiveOrnsteinUhlenbeck(diffusivity=0.0).driven == (1,)
    with pytest.raises(ValueError, match="one dimension"):
        ActiveOrnsteinUhlenbeck(potential=HarmonicPotential(dimension=2))
    with pytest.raises(ValueError, match="diffusivity"):
        ActiveOrnsteinUhlenbeck(diffusivity=-0.1)


@pytest.mark.parametrize("particles", [2, 5, 8, 16, 97])
def test_initial_headings_sum_to_zero_and_places_keep_apart(particles: int) -> None:
    headings = even_headings(particles)
    assert float(torch.cos(headings).sum()) == pytest.approx(0, abs=1e-9)
    assert float(torch.sin(headings).sum()) == pytest.approx(0, abs=1e-9)
    assert len(set(headings.tolist())) == particles
    places = square_lattice(particles, 10.0).T
    apart = (places.unsqueeze(0) - places.unsqueeze(1)).norm(dim=-1) + 100 * torch.eye(particles)
    assert float(apart.min()) >= 10.0 / math.ceil(math.sqrt(particles)) - 1e-9
    assert 0 < float(places.min()) < float(places.max()) < 10


PROCESSES: dict[str, tuple[Process, dict[str, Any]]] = {
    "free-swimmer": (ActiveBrownianParticle(stiffness=0.0), {"paths": 8192, "duration": 4.0, "dt": 0.01}),
    "trapped-swimmer": (ActiveBrownianParticle(), {"paths": 8192, "duration": 4.0, "dt": 0.01}),
    "active-particle": (ActiveOrnsteinUhlenbeck(), {"paths": 8192, "duration": 4.0, "dt": 0.01}),
    "anharmonic": (
        ActiveOrnsteinUhlenbeck(potential=AnharmonicPotential(stiffness=1.0, anharmonicity=0.5)),
        {"paths": 8192, "duration": 8.0, "dt": 0.005},
    ),
    "heavy": (InertialActiveOrnsteinUhlenbeck(mass=0.5), {"paths": 8192, "duration": 12.0, "dt": 0.01}),
    "ring": (
        ActiveParticlesOnRing(particles=6, stiffness=2.5, speed=1.0),
        {"paths": 4096, "duration": 4.0, "dt": 0.01},
    ),
    "box": (
        ActiveBrownianParticles(particles=9, diffusivity=0.05, packing_fraction=0.6),
        {"paths": 2048, "duration": 2.0, "dt": 0.005},
    ),
}


def deviations(process: Process, settings: dict[str, Any], wrong: float = 1.0) -> dict[str, float]:
    """Return z of every known moment half way and at the end, the stationary ones at the end alone."""
    steps = round(settings["duration"] / settings["dt"])
    run = simulate(process, **settings, save_every=steps // 2, seed=12, dtype="float64")
    states, found = frames(process, run, torch.float64), {}
    for moment in process.known_moments:
        for k in (1, 2):
            expected = float(moment.expectation(torch.tensor(float(run["time"][k]), dtype=torch.float64)))
            if math.isnan(expected) and k == 2:
                expected = float(moment.expectation(torch.tensor(math.inf)))
            if math.isfinite(expected):
                values = moment.observable(states[k])
                found[f"{moment.name} {k}"] = float(
                    (values.mean() - wrong * expected) / (values.std() / len(values) ** 0.5)
                )
    return found


@pytest.mark.parametrize("name", PROCESSES)
def test_simulated_moments_are_the_known_ones(name: str) -> None:
    found = deviations(*PROCESSES[name])
    assert len(found) >= 3
    assert max(map(abs, found.values())) < 5, found


@pytest.mark.parametrize("name", ["trapped-swimmer", "ring", "box"])
def test_moments_that_are_wrong_would_be_noticed(name: str) -> None:
    found = deviations(*PROCESSES[name], wrong=1.25)
    assert max(map(abs, found.values())) > 10, found


@pytest.mark.parametrize(
    ("kind", "parameters", "what"),
    [
        (ActiveBrownianParticle, {"stiffness": -1.0}, "stiffness"),
        (ActiveBrownianParticle, {"speed": 0.0}, "speed"),
        (ActiveParticlesOnRing, {"length": 3.0}, "two cutoffs"),
        (ActiveParticlesOnRing, {"particles": 0}, "particles"),
        (ActiveBrownianParticles, {"particles": 1}, "at least 2"),
        (ActiveBrownianParticles, {"particles": 4, "packing_fraction": 0.9}, "two cutoffs"),
        (ActiveBrownianParticles, {"diffusivity": -1.0}, "diffusivity"),
    ],
    ids=str,
)
def test_d7_parameters_out_of_range_are_refused_by_name(kind: type, parameters: dict[str, float], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        kind(**parameters)
