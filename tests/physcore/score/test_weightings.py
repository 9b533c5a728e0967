"""Weightings: what each measures, and that the minimiser does not depend on it."""

import pytest
import torch

from physcore.registry import build, names
from physcore.score import Batch, FixedLag, LocalDenoising, Perceptual, Pilot, ScoreModel, Weighting
from physcore.score.parametrizations import Local
from simulations import ActiveSwimmer, OrnsteinUhlenbeck, simulate

TRAP = OrnsteinUhlenbeck(drift_matrix=((-1.0, -1.0), (0.5, -0.7)), noise_matrix=((1.0, 0.0), (0.5, 0.8)))


def normals(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))


SCHEDULE = FixedLag(gap=0.5)


def pilot() -> Pilot:
    return Pilot(process=TRAP, times=torch.tensor([0.0, 1.0]).double(), states=normals(2, 100, 2))


def score() -> ScoreModel:
    with torch.random.fork_rng(devices=[]):
        return Local().build(TRAP, pilot(), SCHEDULE, (0.5, 1.0))


def built(name: str) -> Weighting:
    weighting: Weighting = build("physcore.weightings", name, {})
    return weighting.fitted(pilot(), SCHEDULE)


@pytest.mark.parametrize("name", names("physcore.weightings"))
def test_every_weighting_measures_a_difference_linearly_and_never_as_nothing(name: str) -> None:
    weighting = built(name)
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
    uniform, likelihood = built("uniform"), built("likelihood")
    weighted = frame.weight(given)
    torch.testing.assert_close(uniform.apply(TRAP, weighted, frame, time), given, rtol=1e-4, atol=1e-5)
    expected = given @ TRAP.noise(time[0]).float()
    torch.testing.assert_close(likelihood.apply(TRAP, weighted, frame, time), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", names("physcore.weightings"))
def test_the_transpose_is_the_transpose(name: str) -> None:
    weighting, state, time = built(name), normals(20, 2).double(), torch.full((20,), 0.8).double()
    frame = score().double().prepare(state, time).frame
    given = normals(3, 20, 2)[0].double()
    measured = weighting.apply(TRAP, frame.weight(given), frame, time)
    across = torch.randn(measured.shape, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    turned = weighting.transposed(TRAP, across, frame, time)
    torch.testing.assert_close((measured * across).sum(-1), (given * turned).sum(-1))
    torch.testing.assert_close(turned, Weighting.transposed(weighting, TRAP, across, frame, time))


def test_perceptual_scales_are_those_of_the_noise_over_the_lag() -> None:
    swimmer = ActiveSwimmer(friction=0.1, temperature=1.0)
    times, lag = torch.linspace(0, 1, 21).double(), 0.1
    moving = Pilot(process=swimmer, times=times, states=0.3 * normals(21, 500, 2))
    weighting = Perceptual().fitted(moving, FixedLag(gap=lag))
    expected = torch.tensor([2 * 0.1 * lag**3 / 3, 2 * 0.1 * lag]).sqrt()
    assert eval(repr(weighting), {"Perceptual": Perceptual}) == weighting
    assert weighting.fitted(moving, FixedLag(gap=0.3)) is weighting
    # The covariance is 1 + (a - gamma) h smaller, a = -3 x^2 the rate of contraction.
    torch.testing.assert_close(torch.tensor(weighting.scales[-1]), expected, rtol=0.03, atol=0)
    resting = Perceptual().fitted(moving, FixedLag(gap=0.0))
    torch.testing.assert_close(torch.tensor(resting.scales[0]), moving.states[0].std(0), rtol=1e-5, atol=0)


def test_perceptual_scales_are_measured_first_and_sane() -> None:
    state, time = normals(20, 2), torch.full((20,), 0.8)
    with pytest.raises(ValueError, match="no scales"):
        Perceptual().apply(TRAP, state, score().prepare(state, time).frame, time)
    for times, scales in (((0.0,), ()), ((1.0, 0.0), ((1.0,), (1.0,))), ((0.0,), ((0.0,),))):
        with pytest.raises(ValueError, match=r"`(times|scales)`"):
            Perceptual(times=times, scales=scales)


@pytest.mark.parametrize("name", names("physcore.weightings"))
def test_the_exact_score_is_stationary_under_every_weighting(name: str) -> None:
    weighting = built(name)
    data = simulate(TRAP, paths=40_000, duration=0.5, dt=0.01, save_every="final", dtype="float64", seed=3)
    states = torch.stack([torch.as_tensor(data[v.name].values[:, 0].copy()) for v in TRAP.variables], -1)
    start = torch.full((len(states),), 0.5, dtype=torch.float64)
    sampler = LocalDenoising(lag=0.5, variance_reduction="none").sampler(TRAP)
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
