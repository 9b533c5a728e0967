"""The Gaussian closure against its own equations, exact laws, simulation from a point, and the first-order kernel."""

import numpy as np
import pytest
import scipy.integrate
import torch
from torch import Tensor

from physcore import Process
from physcore.errors import NumericalError
from physcore.score import GaussianClosure, LocalLinear
from simulations import ActiveSwimmer, BreathingParabola, DoubleWell, EulerMaruyama, OrnsteinUhlenbeck

TEN = OrnsteinUhlenbeck(
    drift_matrix=tuple(tuple(-1.0 - 0.1 * i if i == j else 0.1 * (i - j) for j in range(10)) for i in range(10)),
    noise_matrix=tuple(tuple(float(i >= j) for j in range(10)) for i in range(10)),
)


def points(process: Process, batch: int = 9) -> Tensor:
    return torch.randn(batch, process.dimension, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def at(value: float, batch: int = 9) -> Tensor:
    return torch.full((batch,), value, dtype=torch.float64)


@pytest.mark.parametrize("process", [OrnsteinUhlenbeck.rotating_trap(), TEN], ids=["trap", "ten"])
@pytest.mark.parametrize("lag", [0.01, 0.5, 2.0])
def test_of_a_linear_process_it_is_the_first_order_kernel(process: Process, lag: float) -> None:
    closed, linear = (k.of(process)(points(process), at(0.3), at(lag)) for k in (GaussianClosure(), LocalLinear()))
    torch.testing.assert_close(closed.mean, linear.mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(closed.covariance, linear.covariance, rtol=1e-5, atol=1e-6)


def test_noise_and_drift_may_change_with_time() -> None:
    process = BreathingParabola()
    state, start, lag = points(process), 0.4, 0.7
    closed = GaussianClosure().of(process)(state, at(start), at(lag))

    def rates(time: float, moments: np.ndarray) -> np.ndarray:
        mean, variance = torch.tensor(moments, dtype=torch.float64)
        moment = torch.tensor(time, dtype=torch.float64)
        drift = process.drift(mean.reshape(1, 1), moment).item()
        slope = process.jacobian(mean.reshape(1, 1), moment).item()
        return np.array([drift, 2 * slope * variance.item() + process.noise(moment).square().sum().item()])

    for k, value in enumerate(state[:, 0].tolist()):
        solved = scipy.integrate.solve_ivp(rates, (start, start + lag), [value, 0.0], rtol=1e-10, atol=1e-12).y[:, -1]
        assert closed.mean[0, k].item() == pytest.approx(solved[0], rel=1e-5)
        assert closed.covariance[k, 0, 0].item() == pytest.approx(solved[1], rel=1e-5)


def swimmer_moments(x: float, v: float, lag: float, friction: float = 0.1) -> np.ndarray:
    """Mean of x and v, then variances of x, x with v, v: the closure in closed form."""

    def rates(_: float, y: np.ndarray) -> np.ndarray:
        a = -3 * (y[0] ** 2 + y[2])
        return np.array(
            [
                y[1] - y[0] ** 3 - 3 * y[0] * y[2],
                -friction * y[1],
                2 * (a * y[2] + y[3]),
                (a - friction) * y[3] + y[4],
                -2 * friction * y[4] + 2 * friction,
            ]
        )

    return np.asarray(scipy.integrate.solve_ivp(rates, (0, lag), [x, v, 0, 0, 0], rtol=1e-11, atol=1e-14).y[:, -1])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("lag", [0.05, 0.5, 1.0])
def test_swimmer_s_moments_are_those_of_the_closed_form(lag: float, dtype: torch.dtype) -> None:
    process = ActiveSwimmer()
    state = 0.8 * points(process, 40)
    closed = GaussianClosure().of(process)(state.to(dtype), at(0.3, 40).to(dtype), at(lag, 40).to(dtype))
    assert closed.mean.dtype == dtype
    exact = torch.tensor(np.array([swimmer_moments(x, v, lag) for x, v in state.tolist()]))
    covariance = exact[:, [2, 3, 3, 4]].unflatten(-1, (2, 2))
    factor = torch.linalg.cholesky(covariance)
    moved = (closed.mean.double().T - exact[:, :2]).unsqueeze(-1)
    offset = torch.linalg.solve_triangular(factor, moved, upper=False)
    whitened = torch.linalg.solve_triangular(factor, closed.factor.double().permute(2, 0, 1), upper=False)
    assert offset.square().mean().sqrt() < 1e-4
    assert (whitened - torch.eye(2, dtype=torch.float64)).square().mean().sqrt() < 1e-4


def simulated(process: Process, start: Tensor, lag: float, paths: int) -> Tensor:
    """States a lag after one start, shape (path, component)."""
    state, dt, generator = start.expand(paths, -1), 1e-3, torch.Generator().manual_seed(4)
    for k in range(round(lag / dt)):
        normals = torch.randn(paths, process.noises, generator=generator, dtype=torch.float64)
        state = EulerMaruyama().step(process, state, torch.tensor(k * dt, dtype=torch.float64), dt, normals)
    return state


@pytest.mark.parametrize(
    ("process", "start", "lag"),
    [(ActiveSwimmer(), (0.9, 0.3), 0.75), (DoubleWell(), (0.2,), 0.2)],
    ids=["swimmer", "well"],
)
def test_moments_from_a_point_are_nearer_than_those_of_the_first_order_kernel(
    process: Process, start: tuple[float, ...], lag: float
) -> None:
    point = torch.tensor([start], dtype=torch.float64)
    true = simulated(process, point, lag, 100_000)
    mean, covariance = true.mean(0), torch.atleast_2d(torch.cov(true.T))
    factor = torch.linalg.cholesky(covariance)

    def errors(kernel: GaussianClosure | LocalLinear) -> tuple[float, float]:
        transition = kernel.of(process)(point, at(0.0, 1), at(lag, 1))
        moved = torch.linalg.solve_triangular(factor, (transition.mean[:, 0] - mean).unsqueeze(-1), upper=False)
        whitened = torch.linalg.solve_triangular(factor, transition.covariance[0] - covariance, upper=False)
        whitened = torch.linalg.solve_triangular(factor, whitened.T, upper=False)
        return float(moved.norm()), float(whitened.norm())

    closed, linear = errors(GaussianClosure()), errors(LocalLinear())
    assert closed[0] < linear[0] / 3
    assert closed[1] < linear[1] / 3
    assert closed[0] < 0.03


def test_stiff_samples_take_more_steps_and_leave_the_others_theirs() -> None:
    process = ActiveSwimmer()
    state = torch.tensor([[0.1, 0.2], [30.0, 0.0], [0.5, 0.5]], dtype=torch.float64)
    together = GaussianClosure().of(process)(state, at(0.0, 3), at(0.3, 3))
    for k in range(3):
        alone = GaussianClosure().of(process)(state[k : k + 1], at(0.0, 1), at(0.3, 1))
        torch.testing.assert_close(alone.mean[:, 0], together.mean[:, k], rtol=1e-12, atol=1e-12)
    assert together.mean[0, 1] == pytest.approx(swimmer_moments(30.0, 0.0, 0.3)[0], rel=1e-3)
    with pytest.raises(NumericalError, match="too stiff for the Gaussian closure"):
        GaussianClosure().of(process)(state * 1000, at(0.0, 3), at(0.3, 3))


def test_an_empty_batch_gives_an_empty_transition() -> None:
    transition = GaussianClosure().of(ActiveSwimmer())(torch.empty(0, 2), torch.empty(0), torch.empty(0))
    assert transition.mean.shape == (2, 0)
    assert transition.factor.shape == (2, 2, 0)
