"""Linearisations of a special form give the transitions of the plain one, without its matrices."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from physcore import Process, Variable
from physcore.errors import NumericalError
from physcore.low_rank import IdentityPlusLowRank
from physcore.score import LocalLinearization
from physcore.score.forms import form_of
from physcore.score.transitions import (
    ComponentwiseTransition,
    DenseTransition,
    LocalTransition,
    LowRankTransition,
)
from physcore.score.transitions.shared import SharedTransition
from physcore.small_matrices import cholesky
from simulations import LogisticPrior, MixturePrior, MovingTrap, OrnsteinUhlenbeck


def points(count: int, dimension: int) -> tuple[tuple[float, ...], ...]:
    drawn = torch.randn(count, dimension, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return tuple(map(tuple, drawn.tolist()))


class Kicked(Process):
    """Independent anharmonic oscillators in a field that swings, with noise that grows."""

    variables = tuple(Variable(f"x{i}") for i in range(9))
    alone = True

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        force = torch.cos(3 * time).unsqueeze(-1) - state**3
        return force if self.alone else force + 0.1 * state.roll(1, -1)

    def noise(self, time: Tensor) -> Tensor:
        strengths = torch.linspace(0.5, 1.5, 9, dtype=time.dtype)
        return torch.diag_embed(torch.sqrt(1 + time).unsqueeze(-1) * strengths)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        return torch.randn(paths, 9, generator=generator, dtype=torch.float64)

    @property
    def componentwise(self) -> bool:
        return True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pulled(Process):
    """A mixture's Langevin dynamics in a field that swings, with noise that grows."""

    unlike: float = 0.0

    @property
    def prior(self) -> MixturePrior:
        return MixturePrior(prior_means=points(3, 9), data_points=points(1, 9))

    @property
    def variables(self) -> tuple[Variable, ...]:  # type: ignore[override]
        return self.prior.variables

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        return 0.5 * self.prior.stationary_score(state) + torch.sin(2 * time).unsqueeze(-1)

    def noise(self, time: Tensor) -> Tensor:
        strengths = 1 + self.unlike * torch.arange(9, dtype=time.dtype)
        return torch.diag_embed(torch.sqrt(1 + time).unsqueeze(-1) * strengths)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        return self.prior.sample_initial(paths, generator)

    def low_rank_jacobian(self, state: Tensor, time: Tensor) -> IdentityPlusLowRank:
        half = torch.full((len(state),), 0.5, dtype=state.dtype)
        return self.prior.prior.score_jacobian(state).scaled(half)


def linear(dimension: int) -> OrnsteinUhlenbeck:
    generator, identity = torch.Generator().manual_seed(0), torch.eye(dimension)
    drift, noise = (torch.randn(dimension, dimension, generator=generator) / dimension**0.5 for _ in range(2))
    return OrnsteinUhlenbeck(
        drift_matrix=(0.5 * drift - identity).tolist(), noise_matrix=(0.3 * noise + identity).tolist()
    )


INERTIAL = OrnsteinUhlenbeck(  # noise in five components alone
    drift_matrix=(
        torch.kron(torch.tensor([[0.0, 1.0], [-1.0, -0.5]]), torch.eye(5)) - 0.1 * torch.ones(10, 10).triu(6)
    ).tolist(),
    noise_matrix=torch.cat([torch.zeros(5, 5), torch.eye(5)]).tolist(),
)
PROCESSES: dict[str, tuple[Process, type[LocalTransition]]] = {
    "logistic": (LogisticPrior(data_points=points(4, 12)), ComponentwiseTransition),
    "kicked": (Kicked(), ComponentwiseTransition),
    "mixture": (MixturePrior(prior_means=points(3, 12), data_points=points(4, 12)), LowRankTransition),
    "more modes than components": (
        MixturePrior(prior_means=points(11, 9), data_points=points(1, 9)),
        LowRankTransition,
    ),
    "pulled": (Pulled(), LowRankTransition),
    "linear": (linear(20), SharedTransition),
    "inertial": (INERTIAL, SharedTransition),
    "trap": (MovingTrap(particles=6), SharedTransition),
}
BATCH = 40


def starts(process: Process, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    state = process.sample_initial(BATCH, generator)
    time, lag = (torch.rand(BATCH, generator=generator, dtype=torch.float64) for _ in range(2))
    return state.to(dtype), time.to(dtype), (0.01 + 0.3 * lag).to(dtype)


def plain(linearization: LocalLinearization, state: Tensor, time: Tensor, lag: Tensor) -> LocalTransition:
    flow = linearization.flow(state, time, lag)
    return DenseTransition(state.T + flow.displacement, cholesky(flow.covariance))


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("curvature", [False, True])
def test_transition_is_that_of_the_plain_form(name: str, curvature: bool) -> None:
    process, kind = PROCESSES[name]
    linearization = LocalLinearization(process, curvature=curvature)
    where = starts(process)
    transition, expected = linearization.transition(*where), plain(linearization, *where)
    assert type(transition) is kind
    torch.testing.assert_close(transition.mean, expected.mean, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(transition.covariance, expected.covariance, rtol=1e-10, atol=1e-13)
    lower = transition.factor.permute(2, 0, 1)
    assert not lower.triu(1).any()
    size = transition.covariance.abs().amax()
    assert float((lower @ lower.mT - transition.covariance).abs().amax() / size) < 1e-12


@pytest.mark.parametrize("name", PROCESSES)
def test_states_and_scores_are_those_of_the_law(name: str) -> None:
    process, _ = PROCESSES[name]
    transition = LocalLinearization(process).transition(*starts(process))
    d = process.dimension
    identity = torch.eye(d, dtype=torch.float64)
    mean = transition.mean.T
    # Column by column, the root of the covariance and the inverse of its transpose.
    root, inverse = (
        torch.stack([of(column.unsqueeze(-1).expand(d, BATCH)) - offset for column in identity], -1)
        for of, offset in ((transition.state, mean), (lambda e: -transition.score(e), 0.0))
    )
    torch.testing.assert_close(root @ root.mT, transition.covariance, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(root.mT @ inverse, identity.expand(BATCH, d, d), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", PROCESSES)
def test_single_precision_loses_no_more_than_its_digits(name: str) -> None:
    process, kind = PROCESSES[name]
    linearization = LocalLinearization(process)
    double, single = (linearization.transition(*starts(process, dtype)) for dtype in (torch.float64, torch.float32))
    assert type(single) is kind
    noise = torch.randn(process.dimension, BATCH, generator=torch.Generator().manual_seed(2))
    for of in ("state", "score"):
        exact = getattr(double, of)(noise.double())
        error = (getattr(single, of)(noise).double() - exact).abs().amax() / exact.abs().amax()
        assert float(error) < 2e-5


@pytest.mark.parametrize("name", ["linear", "inertial", "trap"])
def test_one_lag_for_all_is_that_lag_for_each(name: str) -> None:
    process, _ = PROCESSES[name]
    linearization = LocalLinearization(process)
    state, time, _ = starts(process)
    lag = torch.tensor([0.2], dtype=torch.float64)
    one, each = (linearization.transition(state, time, lags) for lags in (lag, lag.expand(BATCH)))
    noise = torch.randn(process.dimension, BATCH, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    torch.testing.assert_close(one.state(noise), each.state(noise))
    torch.testing.assert_close(one.score(noise), each.score(noise))
    assert one.factor.shape[-1] == 1


def test_lags_over_many_octaves_and_stiff_equations() -> None:
    process = OrnsteinUhlenbeck(
        drift_matrix=torch.diag(-torch.logspace(0, 3, 9)).tolist(), noise_matrix=torch.eye(9).tolist()
    )
    lag = torch.logspace(-6, 1, 40, dtype=torch.float64)
    state = torch.ones(40, 9, dtype=torch.float64)
    transition = LocalLinearization(process).transition(state, torch.zeros_like(lag), lag)
    rate = torch.tensor(process.drift_matrix, dtype=torch.float64).diagonal().unsqueeze(-1)
    variance = torch.expm1(2 * rate * lag) / (2 * rate)
    noise = torch.ones(9, 40, dtype=torch.float64)
    torch.testing.assert_close(transition.mean, torch.exp(rate * lag), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(transition.score(noise).T, -variance.rsqrt(), rtol=1e-9, atol=0)


def test_the_flow_over_one_duration_is_known_anew_where_the_duration_or_the_precision_changes() -> None:
    process = MovingTrap(particles=6)
    state = process.sample_initial(40, torch.Generator().manual_seed(1))
    time, linearization = torch.full((40,), 0.3, dtype=torch.float64), LocalLinearization(process)
    for duration, dtype in ((0.5, torch.float64), (0.7, torch.float64), (0.7, torch.float32)):
        given = state.to(dtype), time.to(dtype), torch.full((1,), duration, dtype=dtype)
        flow, known = (each.flow(*given) for each in (linearization, LocalLinearization(process)))
        assert flow.displacement.dtype == dtype
        torch.testing.assert_close(flow.displacement, known.displacement, rtol=0, atol=0)
        torch.testing.assert_close(flow.covariance, known.covariance, rtol=0, atol=0)


def test_few_components_have_no_form() -> None:
    assert form_of(LogisticPrior()) is None
    assert form_of(OrnsteinUhlenbeck()) is None


def test_a_process_that_is_not_of_its_form_is_refused() -> None:
    coupled = Kicked()
    coupled.alone = False
    with pytest.raises(ValueError, match="`componentwise`, but a component's drift depends on others"):
        LocalLinearization(coupled)
    with pytest.raises(ValueError, match="noise alike in all directions"):
        LocalLinearization(Pulled(unlike=0.1))


def test_noise_that_does_not_reach_all_components_is_refused() -> None:
    with pytest.raises(NumericalError, match=r"1 of 1 local variances"):
        ComponentwiseTransition.of_variance(torch.zeros(2, 1), torch.tensor([[1.0], [0.0]]))
    with pytest.raises(NumericalError, match="not positive definite"):
        LocalLinearization(_Uncoupled()).transition(*starts(_Uncoupled()))


class _Uncoupled(Process):
    """The last of nine components feels no noise."""

    variables = tuple(Variable(f"x{i}") for i in range(9))

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        return -state

    def jacobian(self, state: Tensor, time: Tensor) -> Tensor:
        return -torch.eye(9, dtype=state.dtype).expand(*state.shape[:-1], 9, 9)

    def noise(self, time: Tensor) -> Tensor:
        return torch.eye(9, dtype=torch.float64)[:, :8]

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        return torch.randn(paths, 9, generator=generator, dtype=torch.float64)


def test_a_learner_samples_thousands_of_components() -> None:
    process = LogisticPrior(data_points=points(3, 2048))
    state, time, lag = starts(process, torch.float32)
    transition = LocalLinearization(process).transition(state, time, lag)
    noise = torch.randn(2048, BATCH, generator=torch.Generator().manual_seed(2))
    target = transition.score(noise)
    assert target.shape == (BATCH, 2048)
    # The variance over a short lag is the clock's advance, but for what the drift adds.
    advance = process.clock(time + lag) - process.clock(time)
    expected = (1 / advance).sqrt().mean()
    assert float(target.square().mean(-1).sqrt().mean()) == pytest.approx(float(expected), rel=2 * math.sqrt(0.3))
