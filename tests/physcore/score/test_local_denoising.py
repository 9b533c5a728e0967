"""The estimator itself: targets regress to the score, the weight may not know the start, pairs quieten it."""

import math

import pytest
import torch
from torch import Tensor

from physcore import Process, Variable
from physcore.score import MLP, Batch, LocalDenoising, LocalLinearization, LocalScore, Samples
from physcore.score.objectives.noising import VarianceReduction
from simulations import OrnsteinUhlenbeck

TRAP = OrnsteinUhlenbeck(
    drift_matrix=((-1.0, -1.0), (0.5, -0.7)),
    noise_matrix=((1.0, 0.0), (0.5, 0.8)),
    initial_mean=(1.0, -0.5),
    initial_covariance=((0.5, 0.1), (0.1, 0.2)),
)


class Recorder:
    """What the objective made: points, times and targets of all points, the pairs one after the other."""

    def __init__(self, process: Process, samples: Samples) -> None:
        assert samples.target is not None
        self.linearization = LocalLinearization(process)
        self.state = samples.state.transpose(0, 1).flatten(0, 1)
        self.target = samples.target.transpose(0, 1).flatten(0, 1)
        self.time = samples.time.repeat(samples.state.shape[1])


def recorded(process: Process, state: Tensor, start: float, lag: float, antithetic: bool) -> Recorder:
    """Let the objective draw states and targets once."""
    times = torch.full((len(state),), start, dtype=state.dtype)
    batch = Batch(state=state, start=times, time=times + lag)
    objective = LocalDenoising(lag=lag, variance_reduction="antithetic" if antithetic else "none")
    return Recorder(process, objective.sampler(process)(batch, torch.Generator().manual_seed(3)))


def largest_z(influence: Tensor, samples: int) -> float:
    """Largest sum of influences in standard errors; the two of a pair count as one."""
    clusters = influence.reshape(-1, samples, influence.shape[-1]).sum(0)
    return float((clusters.sum(0) / (clusters.std(0) * samples**0.5)).abs().max())


def regression_z(recorder: Recorder, mean: Tensor, slope: Tensor, samples: int) -> float:
    """Largest deviation of the regression of targets on states from a slope, in errors robust to pairing."""
    features = recorder.state - mean
    residual = recorder.target - features @ slope.T
    inverse = torch.linalg.inv(features.T @ features)
    influence = torch.einsum("ij,nj,nk->nik", inverse, features, residual).flatten(1)
    return largest_z(influence, samples)


@pytest.mark.parametrize("antithetic", [True, False], ids=["pairs", "plain"])
@pytest.mark.parametrize("lag", [0.1, 0.5])
def test_targets_of_a_linear_process_regress_to_its_exact_score(lag: float, antithetic: bool) -> None:
    samples, start = 40_000, 0.3
    early, late = TRAP.law(torch.tensor(start)), TRAP.law(torch.tensor(start + lag))
    state = early.sample(samples, torch.Generator().manual_seed(1))
    recorder = recorded(TRAP, state, start, lag, antithetic)
    assert len(recorder.state) == samples * (2 if antithetic else 1)
    exact = -torch.linalg.inv(late.covariance)
    assert regression_z(recorder, late.mean, exact, samples) < 5
    # Siblings: the score of the start's law, and that of the kernel alone, must be told from it.
    assert regression_z(recorder, late.mean, -torch.linalg.inv(early.covariance), samples) > 5
    kernel = recorder.linearization.transition(
        state[:1], torch.tensor([start], dtype=torch.float64), torch.tensor([lag], dtype=torch.float64)
    )
    assert regression_z(recorder, late.mean, -torch.linalg.inv(kernel.covariance[0]), samples) > 5


def test_states_shown_to_the_model_are_the_later_ones_at_the_later_time() -> None:
    state, times = TRAP.law(torch.tensor(0.3)).sample(1000, torch.Generator().manual_seed(1)), torch.full((1000,), 0.3)
    recorder = recorded(TRAP, state, 0.3, 0.5, antithetic=True)
    torch.testing.assert_close(recorder.time, torch.full((2000,), 0.8, dtype=torch.float64))
    kernel = recorder.linearization.transition(state, times.double(), torch.full((1000,), 0.5, dtype=torch.float64))
    pairs = recorder.state.reshape(2, -1, 2)
    torch.testing.assert_close(pairs.mean(0), kernel.mean.T, rtol=1e-9, atol=1e-9)
    white = torch.linalg.solve_triangular(
        torch.linalg.cholesky(kernel.covariance[0]), (pairs[0] - pairs[1]).T / 2, upper=False
    )
    assert ((white.square().mean(1) - 1) * 500**0.5).abs().max() < 5


class Cosine(Process):
    """A process whose rate of contraction changes sign along its state: dx = -2 sin(2 x) dt + dW."""

    variables = (Variable("x"),)

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        return -2 * torch.sin(2 * state)

    def noise(self, time: Tensor) -> Tensor:
        return torch.ones(1, 1, dtype=torch.float64)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        return torch.randn(paths, 1, generator=generator, dtype=torch.float64)


LAG = 0.2


def kernel_mixture(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weights of the start states, kernel targets and kernel variances at points, by quadrature over N(0, 1) starts."""
    starts = torch.linspace(-7, 7, 2001, dtype=torch.float64)
    kernel = LocalLinearization(Cosine()).transition(
        starts[:, None], torch.zeros_like(starts), torch.full_like(starts, LAG)
    )
    mean, variance = kernel.mean[0], kernel.covariance[:, 0, 0]
    offset = points[:, None] - mean
    log_weight = -0.5 * starts**2 - 0.5 * offset**2 / variance - 0.5 * variance.log()
    return log_weight, -offset / variance, variance


def minimiser(points: Tensor, start_weight: bool = False) -> Tensor:
    """The minimiser of the loss in closed form: the mean target given the later state, perhaps weighted by P(y_s)."""
    log_weight, target, variance = kernel_mixture(points)
    weight = torch.softmax(log_weight + (variance.log() if start_weight else 0.0), -1)
    return (weight * target).sum(-1)


def test_minimiser_is_the_score_of_the_law_of_the_later_state() -> None:
    points = torch.linspace(-3, 3, 61, dtype=torch.float64).requires_grad_()
    density = torch.logsumexp(kernel_mixture(points)[0], -1)
    score = torch.autograd.grad(density.sum(), points)[0]
    torch.testing.assert_close(minimiser(points.detach()), score, rtol=1e-9, atol=1e-9)


def test_a_weight_that_knows_the_start_moves_the_minimiser() -> None:
    points = torch.linspace(-3, 3, 61, dtype=torch.float64)
    exact, biased = minimiser(points), minimiser(points, start_weight=True)
    relative = ((biased - exact).square().mean() / exact.square().mean()).sqrt()
    assert relative > 0.1


def local_score(process: Process) -> LocalScore:
    d = process.dimension
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return LocalScore(
            process,
            (0.1, 1.0),
            window=3 * LAG,
            start=0.0,
            center=[0.0] * d,
            scale=[1.0] * d,
            drift_scale=[1.0] * d,
            network=MLP(width=16, depth=1),
        ).double()


def test_the_loss_is_stationary_at_the_score_with_the_model_s_weight_and_not_with_one_of_the_start() -> None:
    process, samples = Cosine(), 40_000
    state = process.sample_initial(samples, torch.Generator().manual_seed(1))
    recorder = recorded(process, state, 0.0, LAG, antithetic=False)
    later = recorder.state[:, 0]
    grid = torch.linspace(float(later.min()) - 0.1, float(later.max()) + 0.1, 2000, dtype=torch.float64)
    values = minimiser(grid)
    position = ((later - grid[0]) / (grid[1] - grid[0])).clamp(0, len(grid) - 1.001)
    left = position.long()
    exact = torch.lerp(values[left], values[left + 1], position - left)
    frame = local_score(process).prepare(recorder.state, recorder.time).frame
    own = frame.weight(torch.ones_like(recorder.state))[:, 0].square()
    times = torch.zeros(samples, dtype=torch.float64)
    started = recorder.linearization.transition(state, times, times + LAG).covariance[:, 0, 0]

    def largest_z(weight: Tensor) -> float:
        """The gradient of the loss towards a few shapes of score, in standard errors."""
        shapes = torch.stack([torch.sin(k * later) for k in (1, 2, 3, 4)] + [later], -1)
        gradient = (weight * (exact - recorder.target[:, 0]))[:, None] * shapes
        return float((gradient.mean(0) / gradient.std(0) * samples**0.5).abs().max())

    assert own.std() / own.mean() > 0.1, "the model's weight must vary for this test to mean anything"
    assert largest_z(own) < 5
    assert largest_z(torch.ones_like(own)) < 5
    assert largest_z(started) > 5


def test_the_frame_is_a_function_of_the_evaluation_point_alone() -> None:
    process = Cosine()
    score, points = local_score(process), torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    time = torch.full((9,), 0.5, dtype=torch.float64)
    together = score.prepare(points, time).frame.weight(torch.ones_like(points))
    for k in range(9):
        alone = score.prepare(points[k : k + 1], time[k : k + 1]).frame.weight(torch.ones(1, 1, dtype=torch.float64))
        torch.testing.assert_close(alone[0], together[k])


def gradients(variance_reduction: VarianceReduction, lag: float, batches: int, samples: int) -> Tensor:
    """Gradients of the mean loss of many batches, shape (batch, parameter)."""
    process = OrnsteinUhlenbeck.rotating_trap()
    score = local_score(process)
    parameters = list(score.parameters())[-2:]
    objective, collected = LocalDenoising(lag=lag, variance_reduction=variance_reduction), []
    for k in range(batches):
        generator = torch.Generator().manual_seed(1000 * len(variance_reduction) + k)
        state = process.law(torch.tensor(0.5)).sample(samples, generator)
        start = torch.full((samples,), 0.5, dtype=torch.float64)
        batch = Batch(state=state, start=start, time=start + lag)
        loss = objective.loss(score, objective.sampler(process)(batch, generator), generator).mean()
        collected.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]))
    return torch.stack(collected)


TWO_POINTS: tuple[VarianceReduction, ...] = ("antithetic", "control-variate")


@pytest.mark.parametrize("lag", [0.02, 0.2])
@pytest.mark.parametrize("reduction", TWO_POINTS)
def test_two_points_leave_the_mean_gradient_and_lower_its_variance(reduction: VarianceReduction, lag: float) -> None:
    # The same number of evaluations.
    plain, reduced = gradients("none", lag, 150, 128), gradients(reduction, lag, 150, 64)
    error = ((plain.var(0) + reduced.var(0)) / 150).sqrt()
    assert ((plain.mean(0) - reduced.mean(0)) / error).abs().max() < 5
    assert reduced.var(0).sum() < 0.7 * plain.var(0).sum()
    # A sibling: the plain gradient is far from zero in the same units, so that equality means something.
    assert (plain.mean(0) / (plain.var(0) / 150).sqrt()).abs().max() > 5


def test_two_points_keep_their_variance_as_the_lag_shrinks() -> None:
    def growth(reduction: VarianceReduction) -> float:
        short, long = (float(gradients(reduction, lag, 100, 64).var(0).sum()) for lag in (0.001, 0.1))
        return short / long

    assert growth("none") > 20
    for reduction in TWO_POINTS:
        assert growth(reduction) < 3


@pytest.mark.parametrize("lag", [0.0, -1.0, math.nan, math.inf])
def test_a_lag_that_is_not_positive_is_refused(lag: float) -> None:
    with pytest.raises(ValueError, match="`lag`"):
        LocalDenoising(lag=lag)
