"""The local linear Gaussian transition against exact laws, closed forms and autograd."""

import math

import numpy as np
import pytest
import scipy.integrate
import torch
from torch import Tensor

from physcore import Gaussian, Process, Variable
from physcore.errors import NumericalError
from physcore.score import LocalLinearization
from simulations import ActiveSwimmer, DoubleWell, OrnsteinUhlenbeck

TEN = OrnsteinUhlenbeck(
    drift_matrix=tuple(tuple(-1.0 - 0.1 * i if i == j else 0.1 * (i - j) for j in range(10)) for i in range(10)),
    noise_matrix=tuple(tuple(float(i >= j) for j in range(10)) for i in range(10)),
)
PROCESSES: dict[str, Process] = {
    "swimmer": ActiveSwimmer(),
    "well": DoubleWell(),
    "trap": OrnsteinUhlenbeck.rotating_trap(),
    "ten": TEN,
}


def states(process: Process, batch: int = 9) -> Tensor:
    return torch.randn(batch, process.dimension, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def at(value: float, batch: int = 9) -> Tensor:
    return torch.full((batch,), value, dtype=torch.float64)


@pytest.mark.parametrize("name", PROCESSES)
def test_score_is_the_gradient_of_the_log_density_at_the_sampled_state(name: str) -> None:
    process = PROCESSES[name]
    transition = LocalLinearization(process).transition(states(process), at(0.3), at(0.2))
    noise = torch.randn(process.dimension, 9, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    sampled = transition.state(noise).requires_grad_()
    law = Gaussian(mean=transition.mean.T, covariance=transition.covariance)
    gradient = torch.autograd.grad(law.log_density(sampled).sum(), sampled)[0]
    torch.testing.assert_close(transition.score(noise), gradient, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(transition.score(-noise), -transition.score(noise), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["trap", "ten"])
@pytest.mark.parametrize("lag", [0.01, 0.5, 3.0])
def test_transition_of_a_linear_process_is_its_exact_one(name: str, lag: float) -> None:
    process = PROCESSES[name]
    assert isinstance(process, OrnsteinUhlenbeck)
    transition = LocalLinearization(process).transition(states(process), at(0.3), at(lag))
    for k, state in enumerate(states(process)):
        # From a point: a start without spread, as far as a law can have none.
        started = OrnsteinUhlenbeck(
            drift_matrix=process.drift_matrix,
            noise_matrix=process.noise_matrix,
            initial_mean=tuple(state.tolist()),
            initial_covariance=tuple(map(tuple, (1e-300 * np.eye(process.dimension)).tolist())),
        )
        law = started.law(torch.tensor(lag, dtype=torch.float64))
        torch.testing.assert_close(transition.mean[:, k], law.mean, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(transition.covariance[k], law.covariance, rtol=1e-9, atol=1e-10)


def swimmer_closed_form(
    x: float, v: float, h: float, g: float = 0.1, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the linearised swimmer, with Gauss-Legendre quadrature."""
    a = -3 * x * x

    def first(z: float) -> float:
        return 1.0 if z == 0 else math.expm1(z) / z

    def psi(u: float) -> float:
        return math.exp(-g * u) * u * first((a + g) * u)

    nodes, weights = np.polynomial.legendre.leggauss(40)
    mean = torch.tensor([x - x**3 * h * first(a * h) + v * psi(h), v * math.exp(-g * h)], dtype=torch.float64)
    xx = xv = 0.0
    for u, w in zip(0.5 * h * (nodes + 1), 0.5 * h * weights, strict=True):
        xx += 2 * g * temperature * w * psi(u) ** 2
        xv += 2 * g * temperature * w * psi(u) * math.exp(-g * u)
    return mean, torch.tensor([[xx, xv], [xv, -temperature * math.expm1(-2 * g * h)]], dtype=torch.float64)


@pytest.mark.parametrize("lag", [0.01, 0.1, 0.25, 1.0])
def test_transition_of_the_swimmer_is_its_closed_form(lag: float) -> None:
    swimmer = ActiveSwimmer()
    state = torch.tensor([[0.0, 0.0], [0.0, 1.0], [math.sqrt(0.1 / 3), 0.5], [-1.0, 2.0], [1.6, -1.0]]).double()
    transition = LocalLinearization(swimmer).transition(state, at(0.0, 5), at(lag, 5))
    for k, (x, v) in enumerate(state.tolist()):
        mean, covariance = swimmer_closed_form(x, v, lag)
        torch.testing.assert_close(transition.mean[:, k], mean, rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(transition.covariance[k], covariance, rtol=1e-10, atol=0)


@pytest.mark.parametrize("name", ["swimmer", "well"])
def test_mean_leaves_the_noiseless_path_in_third_order(name: str) -> None:
    """Without noise the linearised flow is the exponential Rosenbrock-Euler step, of local order three."""
    process = PROCESSES[name]
    linearization, start = LocalLinearization(process), states(process)

    def error(lag: float) -> float:
        def slope(time: float, flat: np.ndarray) -> np.ndarray:
            return process.drift(torch.from_numpy(flat).reshape(start.shape), torch.tensor(time)).numpy().ravel()

        exact = scipy.integrate.solve_ivp(slope, (0, lag), start.numpy().ravel(), rtol=1e-12, atol=1e-13).y[:, -1]
        return float(np.abs(linearization.transition(start, at(0.0), at(lag)).mean.T.numpy().ravel() - exact).max())

    assert 2.7 < math.log2(error(0.01) / error(0.005)) < 3.3


class Ramp(Process):
    """Drift and squared noise linear in time, so that the expansion is exact: dx = (1 + 2 t) dt + sqrt(1 + t) dW."""

    variables = (Variable("x"),)

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        return (1 + 2 * torch.as_tensor(time, dtype=state.dtype)).unsqueeze(-1).expand(state.shape)

    def noise(self, time: Tensor) -> Tensor:
        return torch.sqrt(1 + torch.as_tensor(time))[..., None, None]

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        return torch.zeros(paths, 1)


def test_time_dependent_drift_and_noise_are_expanded_about_the_start() -> None:
    s, h = torch.linspace(0, 2, 9, dtype=torch.float64), torch.linspace(0.1, 1, 9, dtype=torch.float64)
    state = states(Ramp())
    transition = LocalLinearization(Ramp()).transition(state, s, h)
    torch.testing.assert_close(transition.mean[0], state[:, 0] + h + 2 * (s * h + h * h / 2), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(transition.covariance[:, 0, 0], h + s * h + h * h / 2, rtol=1e-13, atol=1e-13)


def test_linearization_knows_what_depends_on_time() -> None:
    ramp, swimmer = LocalLinearization(Ramp()), LocalLinearization(ActiveSwimmer())
    assert (ramp.autonomous, ramp.constant_noise) == (False, False)
    assert (swimmer.autonomous, swimmer.constant_noise) == (True, True)


@pytest.mark.parametrize("name", PROCESSES)
def test_a_batch_is_its_members_and_input_is_left_untouched(name: str) -> None:
    process = PROCESSES[name]
    linearization, state = LocalLinearization(process), states(process)
    lags = torch.linspace(0.05, 1.0, 9, dtype=torch.float64)
    kept = state.clone(), lags.clone()
    together = linearization.transition(state, at(0.3), lags)
    assert torch.equal(state, kept[0])
    assert torch.equal(lags, kept[1])
    for k in range(9):
        alone = linearization.transition(state[k : k + 1], at(0.3, 1), lags[k : k + 1])
        torch.testing.assert_close(together.mean[:, k], alone.mean[:, 0], rtol=1e-11, atol=1e-12)
        torch.testing.assert_close(together.factor[..., k], alone.factor[..., 0], rtol=1e-9, atol=1e-12)


def test_float32_is_near_float64_down_to_short_lags() -> None:
    swimmer = ActiveSwimmer()
    linearization = LocalLinearization(swimmer)
    for lag in (0.01, 0.25):
        double = linearization.transition(states(swimmer), at(0.0), at(lag))
        single = linearization.transition(states(swimmer).float(), at(0.0).float(), at(lag).float())
        assert single.factor.dtype == torch.float32
        torch.testing.assert_close(single.factor.double(), double.factor, rtol=1e-4, atol=1e-9)


def test_noise_that_never_reaches_a_component_is_an_error() -> None:
    class Unreached(ActiveSwimmer):
        def drift(self, state: Tensor, time: Tensor) -> Tensor:
            return -state

        def jacobian(self, state: Tensor, time: Tensor) -> Tensor:
            return -torch.eye(2, dtype=state.dtype).expand(*state.shape[:-1], 2, 2)

    with pytest.raises(NumericalError, match="does not reach every component"):
        LocalLinearization(Unreached()).transition(torch.zeros(3, 2), torch.zeros(3), torch.full((3,), 0.1))


class Noising(Process):
    """An Ornstein-Uhlenbeck process by a clock that starts from rest: dx = -B' x dt + sqrt(B') dW, B = t^2 + t^3."""

    variables = (Variable("x"),)

    def clock(self, time: Tensor) -> Tensor:
        return time**2 + time**3

    def rate(self, time: Tensor) -> Tensor:
        time = torch.as_tensor(time)
        return 2 * time + 3 * time**2

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        return -self.rate(time).unsqueeze(-1) * state

    def noise(self, time: Tensor) -> Tensor:
        return torch.sqrt(self.rate(time))[..., None, None]

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        return torch.zeros(paths, 1)


@pytest.mark.parametrize("batch", [9, 100], ids=["torch", "compiled"])
def test_a_clock_makes_the_dependence_on_time_exact(batch: int) -> None:
    process, state = Noising(), states(Noising(), batch)
    start, lag = torch.linspace(0, 1, batch).double(), torch.linspace(1, 0.2, batch).double()
    transition = LocalLinearization(process).transition(state, start, lag)
    elapsed = process.clock(start + lag) - process.clock(start)
    torch.testing.assert_close(transition.mean[0], state[:, 0] * torch.exp(-elapsed), rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(transition.covariance[:, 0, 0], -torch.expm1(-2 * elapsed) / 2, rtol=1e-12, atol=1e-13)


def test_the_clock_may_be_read_inside_a_transform() -> None:
    linearization, lag = LocalLinearization(Noising()), at(0.5)

    def mean(start: Tensor) -> Tensor:
        return linearization.flow(torch.ones(9, 1).double(), start, lag).displacement[0]

    start = at(0.3)
    _, slope = torch.func.jvp(mean, (start,), (torch.ones_like(start),))
    process = linearization.process
    assert isinstance(process, Noising)
    elapsed = process.clock(start + lag) - process.clock(start)
    expected = -torch.exp(-elapsed) * (process.rate(start + lag) - process.rate(start))
    torch.testing.assert_close(slope, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("batch", [9, 100], ids=["torch", "compiled"])
@pytest.mark.parametrize(("curvature", "order"), [(True, 3), (False, 2)], ids=["curved", "straight"])
def test_curvature_gives_the_mean_one_more_order(curvature: bool, order: int, batch: int) -> None:
    """Against the mean to second order, x + h f + h^2 / 2 (f f' + Q f'' / 2)."""
    process, start = DoubleWell(), torch.tanh(states(DoubleWell(), batch))
    point = start[:, 0].clone().requires_grad_()
    force = process.drift(point.unsqueeze(-1), torch.zeros(())).squeeze(-1)
    slope = torch.autograd.grad(force.sum(), point, create_graph=True)[0]
    bend = torch.autograd.grad(slope.sum(), point)[0]
    diffusion = float(process.noise(torch.zeros(())).square().sum())
    second = (force * slope + diffusion * bend / 2).detach()
    linearization = LocalLinearization(process, curvature=curvature)

    def error(lag: float) -> float:
        exact = start[:, 0] + lag * force.detach() + lag**2 / 2 * second
        return float((linearization.transition(start, at(0.0, batch), at(lag, batch)).mean[0] - exact).abs().max())

    assert math.log2(error(1e-4) / error(5e-5)) == pytest.approx(order, abs=0.1)


def test_curvature_adds_to_what_the_drift_gains_with_time() -> None:
    ramp, s, h = LocalLinearization(Ramp(), curvature=True), at(0.5), at(0.2)
    torch.testing.assert_close(
        ramp.transition(states(Ramp()), s, h).mean, LocalLinearization(Ramp()).transition(states(Ramp()), s, h).mean
    )
