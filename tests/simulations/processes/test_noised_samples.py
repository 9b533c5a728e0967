"""Samples noised towards a Gaussian: mean and covariance stay, and the score is that of the mixture."""

import math

import pytest
import torch
from torch import Tensor

from physcore.score import ExactTransition
from simulations import NoisedSamples, simulate

SAMPLES = ((0.0, 0.1), (1.0, 0.3), (-0.5, 2.0), (2.0, -1.0), (0.4, 0.4))
NOISED = NoisedSamples(samples=SAMPLES, names=("a", "b"))


def log_density(state: Tensor, time: float) -> Tensor:
    held = torch.tensor(SAMPLES, dtype=torch.float64)
    covariance = held.T.cov(correction=0) * (1 - math.exp(-2 * time))
    centres = held.mean(0) + math.exp(-time) * (held - held.mean(0))
    law = torch.distributions.MultivariateNormal(centres, covariance)
    return torch.logsumexp(law.log_prob(state.unsqueeze(-2)), -1)


@pytest.mark.parametrize("rates", [(2.0, 2.0), (0.1, 5.0)], ids=str)
def test_rates_change_its_clock_alone(rates: tuple[float, float]) -> None:
    process = NoisedSamples(samples=SAMPLES, beta_start=rates[0], beta_end=rates[1])
    state = torch.randn(7, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    time = torch.tensor(0.4, dtype=torch.float64)
    clock, rate = process.clock(time) / 2, torch.func.grad(process.clock)(time) / 2
    torch.testing.assert_close(process.score(state, time), NOISED.score(state, clock))
    torch.testing.assert_close(process.drift(state, time), rate * NOISED.drift(state, clock))
    spread, expected = (noise @ noise.mT for noise in (process.noise(time), NOISED.noise(clock)))
    torch.testing.assert_close(spread, rate * expected)
    assert rate > 0


@pytest.mark.parametrize("time", [1e-2, 0.3, 4.0])
def test_the_score_is_the_gradient_of_the_mixture(time: float) -> None:
    state = torch.randn(7, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    expected = torch.func.grad(lambda x: log_density(x, time).sum())(state)
    score = NOISED.score(state, torch.tensor(time, dtype=torch.float64))
    torch.testing.assert_close(score, expected, rtol=1e-9, atol=1e-9)
    assert NOISED.score(state.float().reshape(7, 1, 2), torch.tensor(time)).dtype == torch.float32
    late = NOISED.score(state, torch.tensor(30.0))
    torch.testing.assert_close(late, NOISED.stationary_score(state), rtol=1e-9, atol=1e-9)


def test_mean_and_covariance_stay() -> None:
    paths = 20_000
    run = simulate(NOISED, paths=paths, duration=0.7, dt=0.7, scheme="exact-linear", seed=3, dtype="float64")
    held = torch.tensor(SAMPLES, dtype=torch.float64)
    for frame in range(2):
        states = torch.stack([torch.from_numpy(run[name].values[:, frame]) for name in ("a", "b")], -1)
        spread = held.std(0, correction=0)
        assert ((states.mean(0) - held.mean(0)).abs() < 5 * spread / paths**0.5).all()
        ratio = states.T.cov() / held.T.cov(correction=0)
        assert ((ratio.diagonal() - 1).abs() < 5 * 2 / paths**0.5).all()
        starts = (states.unsqueeze(1) - held).abs().amax(-1).amin(-1) < 1e-6
        assert bool(starts.all()) == (frame == 0)


def test_its_transition_is_exact() -> None:
    state, lag = torch.tensor(SAMPLES, dtype=torch.float64), torch.full((5,), 0.4, dtype=torch.float64)
    found = ExactTransition().of(NOISED)(state, torch.zeros(5, dtype=torch.float64), lag)
    centre = state.mean(0)
    torch.testing.assert_close(found.mean.T, centre + math.exp(-0.4) * (state - centre), rtol=1e-10, atol=1e-10)


def test_it_is_rebuilt_from_its_parameters() -> None:
    assert NoisedSamples(**NOISED.parameters) == NOISED
    many = NoisedSamples(samples=10 * SAMPLES)
    assert repr(many) == "NoisedSamples(samples=..., names=(), beta_start=2.0, beta_end=2.0, sha256='')"


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"samples": ((1.0, 2.0),)}, "two or more rows"),
        ({"samples": ((1.0, 2.0), (1.0,))}, "equal length"),
        ({"samples": ((1.0, 2.0), (2.0, 4.0), (3.0, 6.0))}, "singular"),
        ({"samples": ((1.0, math.nan), (2.0, 4.0))}, "finite"),
        ({"samples": SAMPLES, "names": ("a",)}, "`names` must be 2"),
        ({"samples": SAMPLES, "names": ("a", "a")}, "`names` must be 2 different"),
        ({"samples": SAMPLES, "beta_start": 0.0}, "`beta_start` must be positive"),
        ({"samples": SAMPLES, "beta_end": 1.0}, "`beta_end` must be at least `beta_start` = 2.0"),
        ({"samples": SAMPLES, "sha256": "0"}, "`sha256` is that of a file"),
    ],
)
def test_d7_what_cannot_be_noised_is_refused(settings: dict[str, object], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        NoisedSamples(**settings)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be positive"):
        NOISED.score(torch.zeros(1, 2), torch.tensor(0.0))
