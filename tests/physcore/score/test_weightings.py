"""Weightings: what each measures, and that the minimiser does not depend on it."""

import pytest
import torch

from physcore.registry import build, names
from physcore.score import Batch, FixedLag, LocalDenoising, Pilot, ScoreModel, Weighting
from physcore.score.parametrizations import Local
from simulations import OrnsteinUhlenbeck, simulate

TRAP = OrnsteinUhlenbeck(drift_matrix=((-1.0, -1.0), (0.5, -0.7)), noise_matrix=((1.0, 0.0), (0.5, 0.8)))


def normals(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))


def score() -> ScoreModel:
    pilot = Pilot(process=TRAP, times=torch.tensor([0.0, 1.0]).double(), states=normals(2, 100, 2))
    with torch.random.fork_rng(devices=[]):
        return Local().build(TRAP, pilot, FixedLag(gap=0.5), (0.5, 1.0))


@pytest.mark.parametrize("name", names("physcore.weightings"))
def test_every_weighting_measures_a_difference_linearly_and_never_as_nothing(name: str) -> None:
    weighting: Weighting = build("physcore.weightings", name, {})
    state, time = normals(20, 2), torch.full((20,), 0.8)
    frame = score().prepare(state, time).frame
    first, second = normals(2, 20, 2)

    def applied(weighted: torch.Tensor) -> torch.Tensor:
        return weighting.apply(TRAP, weighted, frame, time)

    torch.testing.assert_close(applied(2 * first - second), 2 * applied(first) - applied(second), rtol=1e-4, atol=1e-5)
    assert (applied(first).square().sum(-1) > 0).all()


def test_uniform_and_likelihood_measure_the_score_and_its_noise_part() -> None:
    state, time = normals(20, 2), torch.full((20,), 0.8)
    frame = score().prepare(state, time).frame
    given = normals(20, 2)
    uniform, likelihood = (build("physcore.weightings", name, {}) for name in ("uniform", "likelihood"))
    weighted = frame.weight(given)
    torch.testing.assert_close(uniform.apply(TRAP, weighted, frame, time), given, rtol=1e-4, atol=1e-5)
    expected = given @ TRAP.noise(time[0]).float()
    torch.testing.assert_close(likelihood.apply(TRAP, weighted, frame, time), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", names("physcore.weightings"))
def test_the_exact_score_is_stationary_under_every_weighting(name: str) -> None:
    weighting: Weighting = build("physcore.weightings", name, {})
    data = simulate(TRAP, paths=40_000, duration=0.5, dt=0.01, save_every="final", dtype="float64", seed=3)
    states = torch.stack([torch.as_tensor(data[v.name].values[:, 0].copy()) for v in TRAP.variables], -1)
    start = torch.full((len(states),), 0.5, dtype=torch.float64)
    sampler = LocalDenoising(lag=0.5, antithetic=False).sampler(TRAP)
    samples = sampler(Batch(state=states, start=start, time=start + 0.5), torch.Generator().manual_seed(1))
    assert samples.target is not None
    points, targets = samples.points, samples.target[:, 0]
    frame = score().double().prepare(points, samples.time).frame
    exact = TRAP.score(points, torch.tensor(1.0, dtype=torch.float64))

    def largest_z(candidate: torch.Tensor) -> float:
        residual = weighting.apply(TRAP, frame.weight(candidate - targets), frame, samples.time)
        shape = weighting.apply(TRAP, frame.weight(points), frame, samples.time)
        gradient = residual * shape
        return float((gradient.mean(0) / gradient.std(0) * len(gradient) ** 0.5).abs().max())

    assert largest_z(exact) < 5
    assert largest_z(0.8 * exact) > 5
