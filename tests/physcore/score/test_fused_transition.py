"""The transition in one compiled pass against the one that torch computes, and what is left to torch."""

import copy

import pytest
import torch
from torch import Tensor

from physcore import Process, Variable
from physcore.errors import NumericalError
from physcore.fused_flow import FEWEST_EQUATIONS
from physcore.fusion import compiler
from physcore.score import DenseTransition, LocalLinearization, LocalTransition
from physcore.score import linearization as module
from simulations import ActiveSwimmer, DoubleWell, Lorenz63, MixturePrior, OrnsteinUhlenbeck

BATCH = FEWEST_EQUATIONS + 5


class Driven(Process):
    """Drift and noise that depend on time in ways that no expansion has exactly."""

    variables = (Variable("x"), Variable("y"), Variable("z"))

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        x, y, z = state.unbind(-1)
        return torch.stack([torch.sin(y + 3 * time), torch.tanh(z) - x, torch.exp(-time) * x - z**3], -1)

    def noise(self, time: Tensor) -> Tensor:
        time = torch.as_tensor(time)
        zero = torch.zeros_like(time)
        rows = [[1 + time, zero], [torch.cos(time), zero + 0.5], [zero, torch.exp(-time)]]
        return torch.stack([torch.stack(row, -1) for row in rows], -2)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        return torch.randn(paths, 3, generator=generator)


PROCESSES: dict[str, Process] = {
    "swimmer": ActiveSwimmer(),
    "well": DoubleWell(),
    "lorenz": Lorenz63(),
    "trap": OrnsteinUhlenbeck.rotating_trap(),
    "mixture": MixturePrior(),
    "driven": Driven(),
}


def batch_of(process: Process, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Return states, times and lags."""
    state = process.sample_initial(BATCH, torch.Generator().manual_seed(1)).to(dtype)
    return state, torch.linspace(0.1, 0.9, BATCH, dtype=dtype), torch.logspace(-2, -0.5, BATCH, dtype=dtype)


def by_torch(process: Process, state: Tensor, time: Tensor, lag: Tensor) -> LocalTransition:
    """Return the transition in parts so small that torch computes them."""
    most, kernel = FEWEST_EQUATIONS - 1, LocalLinearization(process)
    rows = [slice(first, first + most) for first in range(0, len(state), most)]
    parts = [kernel.transition(state[part], time[part], lag[part]) for part in rows]
    return DenseTransition(torch.cat([p.mean for p in parts], -1), torch.cat([p.factor for p in parts], -1))


def check_same(transition: LocalTransition, expected: LocalTransition, tolerance: float) -> None:
    torch.testing.assert_close(transition.mean, expected.mean, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(transition.factor, expected.factor, rtol=10 * tolerance, atol=tolerance)


@pytest.fixture
def fused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if torch computes more than the agreement check wants, skip where nothing is compiled."""
    if compiler._compiler() is None:
        pytest.skip("no C compiler")
    linearization = LocalLinearization(ActiveSwimmer())
    linearization.transition(*batch_of(ActiveSwimmer()))
    assert linearization._fused[torch.float64] is not None
    plain = module.linear_flow

    def small(jacobian: Tensor, *operands: Tensor) -> object:
        assert jacobian.shape[-1] < FEWEST_EQUATIONS
        return plain(jacobian, *operands)

    monkeypatch.setattr(module, "linear_flow", small)


@pytest.mark.usefixtures("fused")
@pytest.mark.parametrize("name", PROCESSES)
def test_compiled_transition_is_that_of_torch(name: str) -> None:
    process = PROCESSES[name]
    state, time, lag = batch_of(process)
    compiled = LocalLinearization(process).transition(state, time, lag)
    check_same(compiled, by_torch(process, state, time, lag), 1e-12)
    with pytest.raises(AssertionError):
        check_same(compiled, by_torch(process, state, time, lag * (1 + 1e-9)), 1e-12)


@pytest.mark.usefixtures("fused")
@pytest.mark.parametrize("name", PROCESSES)
def test_compiled_moments_are_those_of_the_transition(name: str) -> None:
    batch = batch_of(PROCESSES[name])
    linearization = LocalLinearization(PROCESSES[name])
    transition = linearization.transition(*batch)
    displacement, covariance = linearization.moments(*batch)
    mean = batch[0].T + displacement
    check_same(
        DenseTransition(mean, torch.linalg.cholesky(covariance.permute(2, 0, 1)).permute(1, 2, 0)), transition, 1e-12
    )
    torch.testing.assert_close(covariance, covariance.transpose(0, 1), rtol=0, atol=0)


@pytest.mark.usefixtures("fused")
def test_float32_is_near_float64() -> None:
    for process in (ActiveSwimmer(), Driven()):
        single = LocalLinearization(process).transition(*batch_of(process, torch.float32))
        assert single.mean.dtype == single.factor.dtype == torch.float32
        double = LocalLinearization(process).transition(*(x.double() for x in batch_of(process, torch.float32)))
        check_same(DenseTransition(single.mean.double(), single.factor.double()), double, 2e-5)


@pytest.mark.usefixtures("fused")
def test_states_times_and_lags_may_lie_anywhere_in_memory() -> None:
    process = Driven()
    state, time, lag = batch_of(process)
    kernel = LocalLinearization(process)
    expected = kernel.transition(state, time, lag)
    apart = torch.zeros(2 * BATCH, 5, dtype=torch.float64)
    apart[::2, 1:4] = state
    check_same(kernel.transition(apart[::2, 1:4], time, lag), expected, 1e-15)
    check_same(kernel.transition(state.T.contiguous().T, time, lag), expected, 1e-15)
    spread = kernel.transition(state, time[:1].expand(BATCH), lag[:1])
    check_same(spread, kernel.transition(state, time[:1].repeat(BATCH), lag[:1].repeat(BATCH)), 1e-15)


@pytest.mark.usefixtures("fused")
def test_threads_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    swimmer = ActiveSwimmer()
    state, time, lag = (torch.cat([x] * 16) for x in batch_of(swimmer))
    kernel = LocalLinearization(swimmer)
    alone = kernel.transition(state, time, lag)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    together = kernel.transition(state, time, lag)
    assert torch.equal(alone.mean, together.mean)
    assert torch.equal(alone.factor, together.factor)


@pytest.mark.usefixtures("fused")
def test_results_larger_than_the_caches_are_those_of_few() -> None:
    process = Driven()
    state, time, lag = (torch.cat([x] * 1500) for x in batch_of(process))
    kernel = LocalLinearization(process)
    together, few = (kernel.transition(state[:n], time[:n], lag[:n]) for n in (len(state), BATCH))
    for first in range(0, len(state), BATCH):
        part = slice(first, first + BATCH)
        check_same(DenseTransition(together.mean[:, part], together.factor[..., part]), few, 1e-13)


@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_what_went_wrong_is_said_as_torch_says_it(first: bool) -> None:
    class Unreached(ActiveSwimmer):
        jacobian = Process.jacobian

        def drift(self, state: Tensor, time: Tensor) -> Tensor:
            x, v = state.unbind(-1)
            return torch.stack([torch.where(x > 5, v, -x), -v], -1)

    kernel, time, lag = LocalLinearization(Unreached()), torch.zeros(BATCH).double(), torch.full((1,), 0.1).double()
    reached, unreached = (torch.full((BATCH, 2), x, dtype=torch.float64) for x in (6.0, 0.0))
    if not first:
        kernel.transition(reached, time, lag)
    with pytest.raises(NumericalError, match=f"{BATCH} of {BATCH} local covariances are not positive definite"):
        kernel.transition(unreached, time, lag)
    swimmer = LocalLinearization(ActiveSwimmer())
    if not first:
        swimmer.transition(reached, time, lag)
    reached[BATCH - 1, 0] = torch.nan
    with pytest.raises(NumericalError, match="linearisation of the drift is not finite"):
        swimmer.transition(reached, time, lag)


def test_a_drift_that_looks_at_values_is_left_to_torch() -> None:
    class Looking(DoubleWell):
        def drift(self, state: Tensor, time: Tensor) -> Tensor:
            seen = torch.from_numpy(state.detach().numpy() > 0).to(state.dtype)
            return -state * (1 + seen)

        def jacobian(self, state: Tensor, time: Tensor) -> Tensor:
            return -(1 + (state > 0).to(state.dtype)).unsqueeze(-1)

    process = Looking()
    state, time, lag = batch_of(process)
    kernel = LocalLinearization(process)
    check_same(kernel.transition(state, time, lag), by_torch(process, state, time, lag), 1e-12)
    assert kernel._fused[torch.float64] is None


def test_gradients_are_recorded_and_what_may_be_learned_is_not_compiled_in() -> None:
    rate = torch.ones((), dtype=torch.float64).requires_grad_()

    class Learned(DoubleWell):
        jacobian = Process.jacobian

        def drift(self, state: Tensor, time: Tensor) -> Tensor:
            return -rate * state

    swimmer, learned = ActiveSwimmer(), Learned()
    state, time, lag = batch_of(swimmer)
    watched = state.clone().requires_grad_()
    assert LocalLinearization(swimmer).transition(watched, time, lag).mean.requires_grad
    state, time, lag = batch_of(learned)
    kernel = LocalLinearization(learned)
    assert kernel.transition(state, time, lag).mean.requires_grad
    assert kernel._fused[torch.float64] is None


def test_a_used_linearization_can_be_copied() -> None:
    swimmer = ActiveSwimmer()
    kernel = LocalLinearization(swimmer)
    expected = kernel.transition(*batch_of(swimmer))
    check_same(copy.deepcopy(kernel).transition(*batch_of(swimmer)), expected, 1e-15)


def test_one_propagator_serves_all_states_of_a_linear_process() -> None:
    trap = OrnsteinUhlenbeck.rotating_trap()
    state, time, lag = batch_of(trap)
    kernel = LocalLinearization(trap)
    assert kernel.transition(state, time, lag[:1]).factor.shape == (2, 2, 1)
    assert kernel.transition(state, time, lag).factor.shape == (2, 2, BATCH)
