"""Times drawn where the loss is noisy: the weights undo the choice exactly, and the noise is less."""

from collections.abc import Callable

import pytest
import torch
import xarray as xr
from torch import Tensor

from physcore.score import MLP, Local, LocalDenoising, Training, fit
from physcore.score.batches import TrajectoryBatches
from physcore.score.importance import BINS, UNIFORM_SHARE, TimeProposal
from simulations import OrnsteinUhlenbeck, simulate

TRAP = OrnsteinUhlenbeck.rotating_trap()
OBJECTIVE = LocalDenoising(lag=0.5)


@pytest.fixture(scope="module")
def data() -> xr.Dataset:
    return simulate(TRAP, paths=4096, duration=1.5, dt=0.01, save_every=5, seed=1)


def noisy(place: Tensor) -> Tensor:
    """A loss that is large early, as losses of short lags are."""
    return 1 / (0.02 + place)


@pytest.fixture
def proposal() -> TimeProposal:
    places = torch.linspace(0, 1, 100_001, dtype=torch.float64)[:-1]
    return TimeProposal.measured(places, noisy(places))


@pytest.mark.parametrize(
    ("function", "integral"),
    [(torch.ones_like, 1.0), (lambda u: u, 1 / 2), (lambda u: u**2, 1 / 3), (lambda u: torch.exp(-u), 0.63212056)],
    ids=["1", "u", "u^2", "exp"],
)
def test_weighted_means_are_those_of_uniform_numbers(
    proposal: TimeProposal, function: Callable[[Tensor], Tensor], integral: float
) -> None:
    count = 400_000
    uniform = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    places, weights = proposal.drawn(uniform)
    assert float((weights * function(places)).mean()) == pytest.approx(integral, abs=1e-5)
    assert ((places >= 0) & (places < 1)).all()
    assert float(weights.max()) <= 1 / UNIFORM_SHARE
    if integral != 1.0:
        assert abs(float(function(places).mean()) - integral) > 0.1, "unweighted, the mean is another"


def test_the_proposal_halves_the_noise_of_a_loss_that_is_large_early(proposal: TimeProposal) -> None:
    uniform = torch.rand(200_000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    places, weights = proposal.drawn(uniform)
    assert float((weights * noisy(places)).std()) < 0.5 * float(noisy(uniform).std())


def test_measured_density_follows_the_root_mean_square_of_the_loss() -> None:
    places = (torch.arange(BINS * 100, dtype=torch.float64) + 0.5) / (BINS * 100)
    losses = torch.where(places < 0.5, 3.0, 1.0)
    losses[::2] *= -1  # the sign plays no part, and what is not finite is passed over
    losses[7] = torch.nan
    density = TimeProposal.measured(places, losses).density
    expected = torch.where(torch.arange(BINS) < BINS // 2, 1.5, 0.5) * (1 - UNIFORM_SHARE) + UNIFORM_SHARE
    torch.testing.assert_close(density, expected.double(), rtol=1e-2, atol=0)
    assert float(density.mean()) == pytest.approx(1.0)


def test_losses_that_are_all_zero_leave_times_uniform() -> None:
    density = TimeProposal.measured(torch.linspace(0, 1, 100, dtype=torch.float64), torch.zeros(100)).density
    torch.testing.assert_close(density, torch.ones(BINS, dtype=torch.float64))


@pytest.mark.parametrize("emphasis", [1.0, 2.0])
def test_batches_with_a_proposal_have_the_same_weighted_law_of_times(
    data: xr.Dataset, proposal: TimeProposal, emphasis: float
) -> None:
    batches = TrajectoryBatches(TRAP, data, Training(early_emphasis=emphasis), torch.device("cpu"))
    generator, count = torch.Generator().manual_seed(1), 200_000
    plain = batches.draw(count, range(4096), OBJECTIVE, generator)
    chosen = batches.draw(count, range(4096), OBJECTIVE, generator, proposal)
    assert plain.importance is None
    assert chosen.importance is not None
    weighted = chosen.importance * chosen.time
    error = float((plain.time.var() + weighted.var()) / count) ** 0.5
    assert abs(float(plain.time.mean() - weighted.mean())) < 5 * error
    assert abs(float(plain.time.mean() - chosen.time.mean())) > 10 * error, "unweighted, times are earlier"
    places = batches.places(OBJECTIVE, chosen.time)
    first, last = batches.time_range(OBJECTIVE.schedule)
    torch.testing.assert_close(first + (last - first) * places**emphasis, chosen.time.double(), rtol=0, atol=1e-6)


def test_a_fit_with_times_drawn_by_importance_reaches_the_exact_score(data: xr.Dataset) -> None:
    training = Training(steps=400, batch=512, validate_every=200, importance_sampling=True)
    model = Local(network=MLP(width=32, depth=2))
    score = fit(TRAP, data, objective=OBJECTIVE, model=model, training=training, seed=1)
    moment = torch.tensor(1.0, dtype=torch.float64)
    states = TRAP.law(moment).sample(4000, torch.Generator().manual_seed(99))
    exact = TRAP.score(states, moment)
    assert float((score(states, 1.0) - exact).square().sum() / exact.square().sum()) < 0.015
