"""Entropy production: known answers of linear and active processes, and the convention of parities."""

import dataclasses
import math

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from analysis import Exact, Reference, entropy_production_rate
from physcore import Process, SolvableProcess, Variable
from simulations import (
    ActiveBrownianParticle,
    ActiveSwimmer,
    BreathingParabola,
    OrnsteinUhlenbeck,
    UnderdampedLangevin,
    simulate,
)
from simulations.potentials import HarmonicPotential

PATHS = 20_000


def stationary(process: OrnsteinUhlenbeck) -> OrnsteinUhlenbeck:
    """Return a process that starts in its stationary law."""
    return dataclasses.replace(process, initial_covariance=process.stationary_law().covariance.tolist())


def trapped_swimmer(kappa: float, tau: float, variance: float, diffusivity: float) -> OrnsteinUhlenbeck:
    """Return an active Ornstein-Uhlenbeck particle in a harmonic trap: position x0, propulsion x1."""
    noise = ((math.sqrt(2 * diffusivity), 0.0), (0.0, math.sqrt(2 * variance / tau)))
    return OrnsteinUhlenbeck(drift_matrix=((-kappa, 1.0), (0.0, -1 / tau)), noise_matrix=noise)


KAPPA, TAU, U2, D = 1.2, 0.8, 1.5, 0.6
PROPELLED = trapped_swimmer(KAPPA, TAU, U2, D)
CASES = {
    "rotating trap": (OrnsteinUhlenbeck.rotating_trap(stiffness=1.3, rotation=0.7), {}, 2 * 0.7**2 / 1.3),
    "gyrator": (
        OrnsteinUhlenbeck.brownian_gyrator(stiffness=1.5, friction=0.8, hot=3.0, cold=1.0),
        {},
        1.5 * 2.0**2 / (4 * 0.8 * 3.0),
    ),
    "propulsion even": (PROPELLED, {"x1": 1}, U2 / (D * (1 + KAPPA * TAU))),
    "propulsion odd": (PROPELLED, {"x1": -1}, KAPPA * TAU * U2 / (D * (1 + KAPPA * TAU))),
    "equilibrium": (OrnsteinUhlenbeck(drift_matrix=((-1.0, 0.5), (0.5, -1.0))), {}, 0.0),
}


@pytest.mark.parametrize(("process", "parity", "known"), CASES.values(), ids=CASES)
def test_stationary_linear_processes_produce_what_is_known(
    process: OrnsteinUhlenbeck, parity: dict[str, int], known: float
) -> None:
    process = stationary(process)
    data = simulate(process, paths=PATHS, duration=1.0, dt=0.1, scheme="exact-linear", dtype="float64", seed=1)
    result = entropy_production_rate(process, Exact(process), data, parity=parity)
    last = result.isel(time=-1)
    for quantity, answer in (("total", known), ("medium", known), ("system", 0.0)):
        row = last.sel(quantity=quantity)
        error = float(row["standard_error"])
        assert abs(float(row["value"]) - answer) < 5 * error + 1e-9, quantity
        produced = float(row["produced_standard_error"])
        assert abs(float(row["produced"]) - answer) < 5 * produced + 1e-9, quantity
    if known > 0:
        assert 10 * float(last["standard_error"].sel(quantity="total")) < known
        assert 10 * float(last["produced_standard_error"].sel(quantity="total")) < known


def test_the_two_parities_of_a_propulsion_are_told_apart_and_named() -> None:
    process = stationary(PROPELLED)
    data = simulate(process, paths=PATHS, duration=0.1, dt=0.1, scheme="exact-linear", seed=1)
    even, odd = (entropy_production_rate(process, Exact(process), data, parity={"x1": sign}) for sign in (1, -1))
    assert even.attrs["parity"] == "all variables even under time reversal"
    assert odd.attrs["parity"] == "x0 even, x1 odd under time reversal"
    first, second = (result.sel(quantity="total").isel(time=-1) for result in (even, odd))
    assert abs(float(first["value"] - second["value"])) < 10 * float(first["standard_error"])  # KAPPA TAU is near 1
    slow = stationary(trapped_swimmer(0.2, TAU, U2, D))
    data = simulate(slow, paths=PATHS, duration=0.1, dt=0.1, scheme="exact-linear", seed=1)
    first, second = (
        entropy_production_rate(slow, Exact(slow), data, parity={"x1": sign}).sel(quantity="total").isel(time=-1)
        for sign in (1, -1)
    )
    assert float(first["value"] - second["value"]) > 10 * float(first["standard_error"])


def test_the_breathing_parabola_produces_its_known_rate_in_time() -> None:
    process = BreathingParabola()
    # Weak order 2 at dt = 0.01 leaves the variance right to 1e-5.
    data = simulate(process, paths=PATHS, duration=2.0, dt=1e-2, save_every=20, scheme="heun", dtype="float64", seed=2)
    result = entropy_production_rate(process, process, data)
    t = data["time"].values
    known = t**2 * (3 + 3 * t + t**2) ** 2 / (3 * (1 + t) ** 4 * (3 + 6 * t + 6 * t**2 + 2 * t**3))
    total = result.sel(quantity="total")
    assert (np.abs(total["value"] - known) < 5 * total["standard_error"] + 1e-6).all()
    assert (10 * total["standard_error"][1:] < known[1:]).all()
    entropy = 0.5 * np.log(process.variance(torch.tensor(t)).numpy())
    gained = result["produced"].sel(quantity="system")
    # The trapezoidal rule over steps of 0.2 is off by some 1e-3.
    error = 5 * result["produced_standard_error"].sel(quantity="system") + 2e-3
    assert (np.abs(gained - (entropy - entropy[0])) < error).all()


class Nothing(Reference):
    """A score of zero, as for a process of which only the heat is wanted."""

    def score(self, state: Tensor, time: Tensor | float) -> Tensor:
        return torch.zeros_like(state)


@pytest.mark.parametrize("k", [0.5, 1.5])
def test_a_trapped_active_brownian_particle_heats_its_medium_by_the_known_rate(k: float) -> None:
    v0, diffusivity, rotation = 2.0, 0.5, 1.0
    process = ActiveBrownianParticle(
        speed=v0, diffusivity=diffusivity, rotational_diffusivity=rotation, stiffness=k, initial_width=1.0
    )
    data = simulate(process, paths=PATHS, duration=10.0, dt=1e-2, save_times=[8.0, 9.0, 10.0], scheme="heun", seed=3)
    known = v0**2 * rotation / (diffusivity * (k + rotation))
    medium = entropy_production_rate(process, Nothing(), data).sel(quantity="medium")
    # What is left of the start has decayed by e^-8 at least; Heun's error is of order dt^2.
    assert (np.abs(medium["value"] - known) < 5 * medium["standard_error"] + 2e-3 * known).all()
    assert (10 * medium["standard_error"] < known).all()
    squares = (data["x"] ** 2 + data["y"] ** 2).isel(time=-1)
    spread = float(squares.std()) / PATHS**0.5
    assert abs(float(squares.mean()) - (2 * diffusivity / k + v0**2 / (k * (k + rotation)))) < 5 * spread + 1e-3


class Boltzmann(Reference):
    """The score of the stationary law."""

    def __init__(self, process: Process) -> None:
        self.process = process

    def score(self, state: Tensor, time: Tensor | float) -> Tensor:
        return self.process.stationary_score(state)


def test_thermal_motion_with_inertia_produces_nothing_if_velocities_are_odd() -> None:
    process = UnderdampedLangevin(potential=HarmonicPotential(stiffness=2.0), initial_width=0.5)
    data = simulate(process, paths=1000, duration=0.5, dt=0.05, scheme="baoab", dtype="float64", seed=4)
    result = entropy_production_rate(process, Boltzmann(process), data)
    assert result.attrs["parity"] == "x even, v odd under time reversal"
    assert float(np.abs(result["value"].sel(quantity="total")).max()) < 1e-20


@pytest.mark.parametrize(
    ("process", "parity", "named"),
    [
        (UnderdampedLangevin(), {"v": 1}, r"\['x'\]"),
        (ActiveSwimmer(), {}, r"\['x'\]"),
        (ActiveSwimmer(), {"v": -1}, r"\['x'\]"),
    ],
    ids=["velocity taken for even", "swimmer", "swimmer, odd"],
)
def test_an_infinite_rate_is_refused_and_the_variable_named(
    process: Process, parity: dict[str, int], named: str
) -> None:
    data = simulate(process, paths=100, duration=0.1, dt=0.05, seed=1)
    with pytest.raises(ValueError, match=f"infinite.*{named}"):
        entropy_production_rate(process, Nothing(), data, parity=parity)


@pytest.mark.parametrize(("parity", "named"), [({"y": -1}, "`parity` names"), ({"x": 0}, "must be 1")])
def test_parities_that_mean_nothing_are_refused(parity: dict[str, int], named: str) -> None:
    process = BreathingParabola()
    data = simulate(process, paths=10, duration=0.1, dt=0.05, seed=1)
    with pytest.raises(ValueError, match=named):
        entropy_production_rate(process, process, data, parity=parity)


def test_noise_that_drives_even_and_odd_together_is_refused() -> None:
    process = OrnsteinUhlenbeck(noise_matrix=((1.0, 0.5), (0.0, 1.0)))
    data = simulate(process, paths=10, duration=0.1, dt=0.05, seed=1)
    with pytest.raises(ValueError, match="together"):
        entropy_production_rate(process, process, data, parity={"x1": -1})
    assert np.isfinite(entropy_production_rate(process, process, data)["value"]).all()


class Swirl(Process):
    """A made-up motion whose reversible drift (x v, x^2) has a divergence, v, if v is odd."""

    variables = (Variable("x"), Variable("v", parity=-1))

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        x, v = state.unbind(-1)
        return torch.stack([x * v - x, x * x - v], -1)

    def noise(self, time: Tensor) -> Tensor:
        return torch.eye(2, dtype=torch.float64)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        return torch.randn(paths, 2, generator=generator, dtype=torch.float64)


class Displaced(Reference):
    """The score of the normal law about (0, 1)."""

    def score(self, state: Tensor, time: Tensor | float) -> Tensor:
        return -(state - torch.tensor([0.0, 1.0], dtype=state.dtype))


@pytest.mark.parametrize("parity", [{}, {"v": 1}], ids=["odd", "even"])
def test_the_system_gains_what_a_law_spreads_by_whatever_is_reversible(parity: dict[str, int]) -> None:
    x, v = np.random.default_rng(1).normal(size=(2, PATHS, 1))
    data = xr.Dataset({"x": (("path", "time"), x), "v": (("path", "time"), v + 1)}, {"time": [0.0]})
    system = entropy_production_rate(Swirl(), Displaced(), data, parity=parity).sel(quantity="system")
    # E[div f] + E[s D s] = E[v] - 2 + 1, with v about 1.
    assert abs(float(system["value"][0])) < 5 * float(system["standard_error"][0])
    assert float(system["standard_error"][0]) < 0.1


class Half(Reference):
    """Knows the exact score of one half of the states."""

    def __init__(self, process: SolvableProcess) -> None:
        self.process = process

    def score(self, state: Tensor, time: Tensor | float) -> Tensor:
        exact = self.process.score(state, torch.as_tensor(time))
        return torch.where(state[..., :1] > 0, exact, torch.nan)


def test_e8_states_that_a_score_does_not_know_are_left_out_and_counted() -> None:
    process = BreathingParabola()
    data = simulate(process, paths=2000, duration=1.0, dt=0.1, dtype="float64", seed=5)
    result = entropy_production_rate(process, Half(process), data, times=[1.0])
    unknown = (data["x"].sel(time=1.0) <= 0).values
    assert float(result["outside"][0]) == pytest.approx(unknown.mean(), abs=1e-12)
    kept = entropy_production_rate(process, process, data.isel(path=~unknown), times=[1.0])
    xr.testing.assert_allclose(result[["value", "standard_error"]], kept[["value", "standard_error"]])
