"""Targets averaged over many start states: exact in the limit, unbiased before it, and quieter."""

import itertools

import pytest
import torch
import xarray as xr
from torch import Tensor

from physcore import Process, Variable
from physcore.score import Batch, LocalDenoising, LocalLinear, MixtureDenoising, Samples, Training
from physcore.score.batches import TrajectoryBatches
from physcore.score.objectives.mixture_denoising import mixture_score
from simulations import OrnsteinUhlenbeck, simulate

LAG = 0.2


class Cosine(Process):
    """A process whose rate of contraction changes sign along its state: dx = -2 sin(2 x) dt + dW, from N(0, 1)."""

    variables = (Variable("x"),)

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        return -2 * torch.sin(2 * state)

    def noise(self, time: Tensor) -> Tensor:
        return torch.ones(1, 1, dtype=torch.float64)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        return torch.randn(paths, 1, generator=generator, dtype=torch.float64)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(objective: LocalDenoising | MixtureDenoising, states: int) -> Samples:
    process, start = Cosine(), torch.zeros(states, dtype=torch.float64)
    batch = Batch(state=process.sample_initial(states, seeded(1)), start=start, time=start + LAG)
    return objective.sampler(process)(batch, seeded(2))


def exact(points: Tensor) -> Tensor:
    """The score of the mixture of the kernels of all starts, by quadrature over N(0, 1)."""
    starts = torch.linspace(-7, 7, 301, dtype=torch.float64)
    kernel = LocalLinear().of(Cosine())(starts[:, None], torch.zeros_like(starts), torch.full_like(starts, LAG))
    mean, variance = kernel.mean[0], kernel.covariance[:, 0, 0]
    offset = points - mean
    weight = torch.softmax(-0.5 * (starts**2 + offset**2 / variance + variance.log()), -1)
    return (weight * -offset / variance).sum(-1, keepdim=True)


def squared_error(starts: int, states: int = 4096) -> float:
    """Mean squared difference between targets and the score."""
    samples = drawn(MixtureDenoising(lag=LAG, starts=starts), states)
    assert samples.target is not None
    return float((samples.target[:, 0] - exact(samples.points)).square().mean())


def test_targets_come_to_the_exact_score_as_the_starts_grow_many() -> None:
    errors = [squared_error(starts) for starts in (1, 4, 16, 64, 256)]
    # One over the number of starts, once the kernels overlap: 4 for every step.
    ratios = [earlier / later for earlier, later in itertools.pairwise(errors)]
    assert all(2 < ratio < 6 for ratio in ratios)
    assert squared_error(4096) < 0.01 * errors[0]


def targets_z(starts: int, own: bool) -> float:
    """Largest mean of target minus score times a field, in standard errors; with or without a point's own start."""
    process, groups = Cosine(), 40_000 // starts
    state, lags = process.sample_initial(groups * starts, seeded(1)), torch.full((groups * starts,), LAG)
    transition = LocalLinear().of(process)(state, torch.zeros_like(lags).double(), lags.double())
    points = transition.state(torch.randn(1, len(state), generator=seeded(2), dtype=torch.float64))
    index = torch.arange(len(state)).reshape(groups, starts)
    together = torch.ones(groups, starts, starts, dtype=torch.bool)
    if not own:
        together &= ~torch.eye(starts, dtype=torch.bool)
    target = mixture_score(transition, points[index], index, together)
    fields = torch.cat([torch.sin(k * points) for k in (1, 2, 3)] + [points], -1)
    influence = ((target.reshape(-1, 1) - exact(points)) * fields).reshape(groups, starts, -1).sum(1)
    return float((influence.mean(0) / influence.std(0) * groups**0.5).abs().max())


@pytest.mark.parametrize("starts", [2, 8])
def test_weights_normalised_by_themselves_leave_no_bias_while_the_own_start_is_among_them(starts: int) -> None:
    assert targets_z(starts, own=True) < 5
    assert targets_z(starts, own=False) > 5


def test_states_of_other_times_do_not_count() -> None:
    process, times = Cosine(), torch.linspace(0.3, 0.9, 20, dtype=torch.float64)
    state = process.sample_initial(20, seeded(1))
    batch = Batch(state=state, start=times - LAG, time=times)
    mixed = MixtureDenoising(starts=8).sampler(process)(batch, seeded(2))
    alone = LocalDenoising(variance_reduction="none").sampler(process)(batch, seeded(2))
    assert mixed.target is not None
    assert alone.target is not None
    torch.testing.assert_close(mixed.state, alone.state)
    torch.testing.assert_close(mixed.target, alone.target)


def test_a_batch_may_end_or_be_cut_within_a_group() -> None:
    process = Cosine()
    times = torch.tensor([0.5, 0.7, 0.9]).double().repeat_interleave(4)[2:11]
    batch = Batch(state=process.sample_initial(9, seeded(1)), start=times - LAG, time=times)
    target = MixtureDenoising(lag=LAG, starts=4).sampler(process)(batch, seeded(2)).target
    assert target is not None
    assert target.shape == (9, 1, 1)
    assert torch.isfinite(target).all()


def test_states_of_a_group_share_their_time_and_are_those_of_different_paths() -> None:
    process = OrnsteinUhlenbeck.rotating_trap()
    data: xr.Dataset = simulate(process, paths=500, duration=1.0, dt=0.01, save_every=5, seed=1)
    batches = TrajectoryBatches(process, data, Training(), torch.device("cpu"))
    batch = batches.draw(100, batches.training_paths, MixtureDenoising(lag=LAG, starts=8), seeded(1))
    groups = [batch.time[k : k + 8] for k in range(0, 100, 8)]
    assert all((group == group[0]).all() for group in groups)
    assert len(torch.unique(batch.time)) == 13
    assert len(torch.unique(batch.state[:, 0])) > 90
    torch.testing.assert_close(batch.time - batch.start >= LAG - 1e-5, torch.ones(100, dtype=torch.bool))
