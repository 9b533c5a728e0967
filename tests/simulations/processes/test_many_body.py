"""Many particles: exact laws, energies, momentum, and what does not change when all are moved or renumbered."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.special
import torch
from torch import Tensor

from physcore import Process
from physcore.trajectory import frames
from simulations import ActiveBrownianParticles, ActiveParticlesOnRing, Kuramoto, MovingTrap, SoftSpheres, simulate

NOW = torch.tensor(0.3, dtype=torch.float64)


def states(process: Process, *shape: int, seed: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    count = math.prod(shape)
    return process.sample_initial(max(count, 1), generator).double()[:count].reshape(*shape, process.dimension)


def test_the_law_of_the_moving_trap_solves_its_moment_equations() -> None:
    process = MovingTrap(particles=4, repulsion=0.3, amplitude=1.5, frequency=0.8)
    still = torch.zeros(8, dtype=torch.float64)

    def slope(time: float, flat: np.ndarray) -> np.ndarray:
        mean, covariance = flat[:8], flat[8:].reshape(8, 8)
        at = torch.tensor(time, dtype=torch.float64)
        jacobian = process.jacobian(still, at).numpy()
        push = process.drift(torch.from_numpy(mean.copy()), at).numpy()
        noise = process.noise(at).numpy()
        return np.concatenate([push, (jacobian @ covariance + covariance @ jacobian.T + noise @ noise.T).ravel()])

    start = process.law(torch.zeros(()))
    initial = np.concatenate([start.mean.numpy(), start.covariance.numpy().ravel()])
    solved = scipy.integrate.solve_ivp(slope, (0, 3), initial, t_eval=[0.5, 1.7, 3.0], rtol=1e-11, atol=1e-12)
    law = process.law(torch.tensor(solved.t))
    np.testing.assert_allclose(law.mean.numpy(), solved.y[:8].T, rtol=0, atol=1e-8)
    np.testing.assert_allclose(law.covariance.numpy().reshape(3, 64), solved.y[8:].T, rtol=0, atol=1e-8)


def test_the_drift_of_the_moving_trap_is_its_sum_over_pairs() -> None:
    process = MovingTrap(particles=7)
    state = states(process, 3)
    x, y = state[:, :7], state[:, 7:]
    for positions, drift, beta in (
        (x, process.drift(state, NOW)[:, :7], 2 * math.cos(0.3 * math.pi)),
        (y, process.drift(state, NOW)[:, 7:], 2 * math.sin(0.3 * math.pi)),
    ):
        pairs = (positions.unsqueeze(-1) - positions.unsqueeze(-2)).sum(-1) / 7
        torch.testing.assert_close(drift, beta - positions + 0.5 * pairs, rtol=1e-13, atol=1e-13)


def test_fifty_simulated_particles_have_the_mean_and_the_spread_of_the_law() -> None:
    process, paths = MovingTrap(), 1024
    run = simulate(process, paths=paths, duration=1.0, dt=0.01, save_every=100, seed=3, scheme="heun", dtype="float64")
    state, law = frames(process, run, torch.float64)[-1], process.law(torch.tensor(1.0))
    z = (state.mean(0) - law.mean) / (law.covariance.diagonal() / paths).sqrt()
    assert z.abs().max() < 5
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(law.covariance), (state - law.mean).T, upper=False)
    squares = white.square().sum(0)  # chi squared of 100 degrees
    assert abs(squares.mean() - 100) < 5 * math.sqrt(200 / paths)
    wrong = process.law(torch.tensor(0.5))
    assert ((state.mean(0) - wrong.mean) / (wrong.covariance.diagonal() / paths).sqrt()).abs().max() > 10


def test_soft_spheres_at_rest_fall_along_minus_the_slope_of_their_energy() -> None:
    process = SoftSpheres(amplitude=0.7)
    state = states(process, 20).requires_grad_()
    slope = torch.autograd.grad(process.energy(state).sum(), state)[0]
    torch.testing.assert_close(process.drift(state.detach(), torch.zeros(())), -slope, rtol=1e-12, atol=1e-12)


def test_soft_spheres_in_the_moving_trap_fall_as_in_a_trap_that_rests_there() -> None:
    process = SoftSpheres()
    state = states(process, 20)
    trap = 3 * torch.tensor([math.cos(0.3 * math.pi), math.sin(0.3 * math.pi)], dtype=torch.float64)
    resting = SoftSpheres(amplitude=0.0)
    moved = resting.drift(state - trap.repeat_interleave(5), NOW)
    torch.testing.assert_close(process.drift(state, NOW), moved, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("factor", "passes"), [(1.0, True), (1.1, False)])
def test_soft_spheres_at_rest_have_the_virial_of_the_boltzmann_law(factor: float, passes: bool) -> None:
    process = SoftSpheres(amplitude=0.0, particles=3)
    run = simulate(process, paths=4096, duration=6.0, dt=0.02, save_every=300, seed=5, scheme="heun")
    (moment,) = process.known_moments
    values = moment.observable(frames(process, run, torch.float64)[-1])
    expected = factor * float(moment.expectation(torch.tensor(math.inf)))
    assert expected == pytest.approx(factor * 1.5)
    assert bool(abs(values.mean() - expected) < 5 * values.std() / 64) is passes


def test_soft_spheres_that_move_know_no_moment() -> None:
    assert SoftSpheres().known_moments == ()


REPELLING = {
    "ring": ActiveParticlesOnRing(particles=6, length=10.0),
    "box": ActiveBrownianParticles(particles=9),
    "large-box": ActiveBrownianParticles(particles=300),
    "phases": Kuramoto(particles=6, frequency_spread=0.2),
}


@pytest.mark.parametrize("name", REPELLING)
def test_the_interaction_conserves_momentum(name: str) -> None:
    process = REPELLING[name]
    state = states(process, 3)
    n = process.particles
    if isinstance(process, Kuramoto):
        push = process.frequencies.sum()
    elif isinstance(process, ActiveParticlesOnRing):
        push = 0.25 * state[:, n:].sum(-1)
    else:
        push = torch.cos(state[:, 2 * n :]).sum(-1)
    total = process.drift(state, NOW)[:, :n].sum(-1)
    torch.testing.assert_close(total, push.expand_as(total), rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", REPELLING)
def test_moving_all_by_the_same_or_one_by_a_period_changes_no_drift(name: str) -> None:
    process = REPELLING[name]
    state, n = states(process, 3), process.particles
    drift = process.drift(state, NOW)
    shifted = state.clone()
    shifted[:, :n] += 0.77
    torch.testing.assert_close(process.drift(shifted, NOW), drift, rtol=1e-10, atol=1e-10)
    period = {"ring": 10.0, "phases": 2 * math.pi}.get(name) or process.box[0]
    around = state.clone()
    around[:, 2] += 3 * period
    torch.testing.assert_close(process.drift(around, NOW), drift, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["ring", "box", "large-box"])
def test_renumbering_the_particles_renumbers_their_drift(name: str) -> None:
    process = REPELLING[name]
    n = process.particles
    order = torch.randperm(n, generator=torch.Generator().manual_seed(1))
    permuted = torch.cat([order + k * n for k in range(process.dimension // n)])
    state = states(process, 3)
    expected = process.drift(state, NOW)[:, permuted]
    torch.testing.assert_close(process.drift(state[:, permuted], NOW), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    "process", [MovingTrap(), *REPELLING.values()], ids=lambda p: f"{type(p).__name__}{p.particles}"
)
def test_drift_does_not_depend_on_the_number_of_paths_or_their_layout_in_memory(process: Process) -> None:
    state = states(process, 40).float()
    together = process.drift(state, NOW)
    for count in (1, 2, 7, 33, 40):
        for part in (state[:count].clone(), state[:count].T.contiguous().T):
            assert torch.equal(process.drift(part, NOW), together[:count]), count


def test_kuramoto_is_its_sum_over_pairs_and_falls_along_its_energy() -> None:
    process = Kuramoto(particles=7, coupling=1.3, frequency=0.4, frequency_spread=0.3)
    state = states(process, 5)
    pairs = torch.sin(state.unsqueeze(-2) - state.unsqueeze(-1)).sum(-1)
    torch.testing.assert_close(process.drift(state, NOW), process.frequencies + 1.3 / 7 * pairs, rtol=1e-12, atol=1e-12)
    identical = Kuramoto(particles=7, coupling=1.3)
    watched = state.requires_grad_()
    slope = torch.autograd.grad(1.3 * 7 / 2 * identical.squared_order(watched).sum(), watched)[0]
    torch.testing.assert_close(identical.drift(state.detach(), NOW), slope, rtol=1e-12, atol=1e-12)


def stationary_order(process: Kuramoto) -> float:
    moment = next(m for m in process.known_moments if m.name == "squared order parameter")
    return float(moment.expectation(torch.tensor(math.inf)))


@pytest.mark.parametrize("ratio", [0.1, 1.0, 4.0, 30.0])
def test_order_of_two_oscillators_is_a_ratio_of_bessel_functions(ratio: float) -> None:
    # The difference of two phases has the law exp(K cos / 2 D), and r^2 = (1 + cos) / 2.
    expected = (1 + scipy.special.ive(1, ratio / 2) / scipy.special.ive(0, ratio / 2)) / 2
    order = stationary_order(Kuramoto(particles=2, coupling=ratio * 0.5, diffusivity=0.5))
    assert order == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("ratio", [1.0, 4.0])
def test_order_of_three_oscillators_is_the_boltzmann_average(ratio: float) -> None:
    angles = torch.arange(256, dtype=torch.float64) * (2 * math.pi / 256)
    process = Kuramoto(particles=3, coupling=ratio, diffusivity=1.0)
    first, second = torch.meshgrid(angles, angles, indexing="ij")
    squared = process.squared_order(torch.stack([torch.zeros_like(first), first, second], -1))
    weight = torch.exp(1.5 * ratio * squared)
    assert stationary_order(process) == pytest.approx(float((weight * squared).sum() / weight.sum()), rel=1e-9)


def test_order_of_one_and_of_very_many_oscillators() -> None:
    assert stationary_order(Kuramoto(particles=1)) == pytest.approx(1, rel=1e-9)
    many = Kuramoto(particles=1_000_000, coupling=2.0, diffusivity=0.5)
    order = scipy.optimize.brentq(lambda r: scipy.special.ive(1, 4 * r) / scipy.special.ive(0, 4 * r) - r, 0.1, 1)
    assert math.sqrt(stationary_order(many)) == pytest.approx(order, rel=1e-5)
    below = Kuramoto(particles=1_000_000, coupling=0.5, diffusivity=0.5)
    assert stationary_order(below) * 1_000_000 == pytest.approx(1 / (1 - 0.5), rel=1e-4)  # 1 / (1 - K / K_c)


def test_oscillators_relax_to_their_order_and_their_mean_phase_drifts_freely() -> None:
    process = Kuramoto(frequency=0.5)
    run = simulate(process, paths=4096, duration=8.0, dt=0.02, save_every=200, seed=6, scheme="heun")
    state = frames(process, run, torch.float64)
    for moment in process.known_moments:
        late = torch.tensor(math.inf if moment.name == "squared order parameter" else 8.0)
        values, expected = moment.observable(state[-1]), float(moment.expectation(late))
        assert abs(values.mean() - expected) < 5 * values.std() / 64, moment.name
    assert abs(values.mean() - 1.05 * expected) > 5 * values.std() / 64


def test_frequencies_are_the_quantiles_of_a_lorentzian() -> None:
    frequencies = Kuramoto(particles=1000, frequency=2.0, frequency_spread=0.3).frequencies
    assert float(frequencies.mean()) == pytest.approx(2.0, abs=1e-9)
    inside = ((frequencies - 2.0).abs() < 0.3).double().mean()
    assert float(inside) == pytest.approx(0.5, abs=2e-3)


@pytest.mark.parametrize(
    ("kind", "parameters", "what"),
    [
        (MovingTrap, {"repulsion": 1.0}, "repulsion"),
        (MovingTrap, {"particles": 0}, "particles"),
        (MovingTrap, {"amplitude": math.inf}, "amplitude"),
        (SoftSpheres, {"range": 0.0}, "range"),
        (SoftSpheres, {"frequency": math.nan}, "frequency"),
        (Kuramoto, {"frequency_spread": -1.0}, "frequency_spread"),
        (Kuramoto, {"coupling": math.nan}, "coupling"),
    ],
    ids=str,
)
def test_d7_parameters_out_of_range_are_refused_by_name(kind: type, parameters: dict[str, float], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        kind(**parameters)
