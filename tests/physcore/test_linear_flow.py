"""The flow of a linear equation against matrix exponentials, closed forms and many digits."""

import math

import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import torch
from numpy.typing import NDArray

from physcore.errors import NumericalError
from physcore.linear_flow import LinearFlow, linear_flow
from physcore.small_matrices import UNROLLED

Matrix = NDArray[np.float64]
DIMENSIONS = [1, 2, 3, UNROLLED, UNROLLED + 1, 10]


def problem(d: int, seed: int = 0) -> tuple[Matrix, Matrix, Matrix, Matrix]:
    """Return Jacobian, force, force rate and diffusion of order one."""
    random = np.random.default_rng(seed)
    jacobian = random.standard_normal((d, d)) / math.sqrt(d) - np.eye(d)
    noise = random.standard_normal((d, d))
    return jacobian, random.standard_normal(d), random.standard_normal(d), noise @ noise.T


def batched(*arrays: Matrix | None) -> list[torch.Tensor | None]:
    """Return arrays component first, as a batch of one."""
    return [None if array is None else torch.from_numpy(np.asarray(array)[..., None]) for array in arrays]


def flow_of(
    jacobian: Matrix,
    force: Matrix,
    diffusion: Matrix,
    h: float,
    rate: Matrix | None = None,
    growth: Matrix | None = None,
) -> LinearFlow:
    j, a, q, b, p = batched(jacobian, force, diffusion, rate, growth)
    assert j is not None
    assert a is not None
    assert q is not None
    return linear_flow(j, a, q, torch.tensor([h], dtype=torch.float64), b, p)


def van_loan(jacobian: Matrix, diffusion: Matrix, h: float) -> Matrix:
    d = len(jacobian)
    block = np.block([[jacobian, diffusion], [np.zeros((d, d)), -jacobian.T]])
    exponential = scipy.linalg.expm(h * block)
    return exponential[:d, d:] @ exponential[:d, :d].T


def augmented_mean(jacobian: Matrix, force: Matrix, rate: Matrix, h: float) -> Matrix:
    d = len(jacobian)
    block = np.zeros((d + 2, d + 2))
    block[:d, :d], block[:d, d], block[:d, d + 1], block[d, d + 1] = jacobian, force, rate, 1
    # State (x, 1, tau) with d(tau)/dt = 1: the columns are (force, rate), and tau grows from the constant.
    block[d, d + 1], block[d + 1, d] = 0, 1
    return (scipy.linalg.expm(h * block) @ np.eye(d + 2)[d])[:d]


def check_close(actual: torch.Tensor, expected: Matrix, tolerance: float = 1e-12) -> None:
    error = np.abs(actual.squeeze(-1).numpy() - expected).max() / np.abs(expected).max()
    assert error < tolerance, f"relative error {error:.2e}"


@pytest.mark.parametrize("h", [1e-3, 0.1, 1.0, 3.0])
@pytest.mark.parametrize("d", DIMENSIONS)
def test_flow_equals_matrix_exponentials(d: int, h: float) -> None:
    jacobian, force, rate, diffusion = problem(d)
    flow = flow_of(jacobian, force, diffusion, h, rate)
    check_close(flow.propagator, scipy.linalg.expm(h * jacobian))
    check_close(flow.displacement, augmented_mean(jacobian, force, rate, h))
    # Van Loan's block holds exp(-J h) too and loses a few digits where J contracts.
    check_close(flow.covariance, van_loan(jacobian, diffusion, h), 1e-12 if h <= 1 else 1e-9)


def test_a_wrong_equation_is_noticed() -> None:
    jacobian, force, rate, diffusion = problem(3)
    flow = flow_of(jacobian, force, diffusion, 1.0, rate)
    with pytest.raises(AssertionError):
        check_close(flow.displacement, augmented_mean(jacobian, force, rate * (1 + 1e-9), 1.0))
    with pytest.raises(AssertionError):
        check_close(flow.covariance, van_loan(jacobian.T, diffusion, 1.0))


@pytest.mark.parametrize("d", [2, 10])
def test_time_dependent_sources_equal_quadrature(d: int) -> None:
    jacobian, force, rate, diffusion = problem(d, seed=1)
    growth, h = 0.3 * problem(d, seed=2)[3], 1.3
    flow = flow_of(jacobian, force, diffusion, h, rate, growth)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    times = 0.5 * h * (nodes + 1)
    displacement, covariance = np.zeros(d), np.zeros((d, d))
    for u, w in zip(times, 0.5 * h * weights, strict=True):
        propagator = scipy.linalg.expm((h - u) * jacobian)
        displacement += w * propagator @ (force + u * rate)
        covariance += w * propagator @ (diffusion + u * growth) @ propagator.T
    check_close(flow.displacement, displacement)
    check_close(flow.covariance, covariance)


def swimmer(x: float, friction: float) -> Matrix:
    return np.array([[-3 * x * x, 1.0], [0.0, -friction]])


def swimmer_closed_form(x: float, h: float, friction: float, temperature: float = 1.0) -> tuple[Matrix, Matrix]:
    """Propagator and covariance of the linearised swimmer, its three integrals to 50 digits."""
    with mpmath.workdps(50):
        a, g, hh = -3 * mpmath.mpf(x) ** 2, mpmath.mpf(friction), mpmath.mpf(h)

        def first(z: mpmath.mpf) -> mpmath.mpf:
            return mpmath.mpf(1) if z == 0 else mpmath.expm1(z) / z

        def psi(u: mpmath.mpf) -> mpmath.mpf:
            return mpmath.exp(-g * u) * u * first((a + g) * u)

        points = [hh * k / 8 for k in range(9)]
        strength = 2 * g * temperature
        xx = strength * mpmath.quad(lambda u: psi(u) ** 2, points)
        xv = strength * mpmath.quad(lambda u: psi(u) * mpmath.exp(-g * u), points)
        vv = -temperature * mpmath.expm1(-2 * g * hh)
        propagator = np.array([[float(mpmath.exp(a * hh)), float(psi(hh))], [0.0, float(mpmath.exp(-g * hh))]])
        return propagator, np.array([[float(xx), float(xv)], [float(xv), float(vv)]])


SINGULAR = math.sqrt(0.1 / 3)


@pytest.mark.parametrize("h", [1e-3, 0.05, 0.3, 1.0])
@pytest.mark.parametrize("x", [0.0, 1e-9, SINGULAR, SINGULAR * (1 + 1e-9), 0.7, 1.5, 3.0])
def test_swimmer_equals_its_closed_form_through_the_removable_singularities(x: float, h: float) -> None:
    propagator, covariance = swimmer_closed_form(x, h, 0.1)
    diffusion = np.diag([0.0, 0.2])
    flow = flow_of(swimmer(x, 0.1), np.array([1.0 - x**3, -0.1]), diffusion, h)
    check_close(flow.propagator, propagator)
    # Entry by entry: the position's variance is h^2 times smaller than the velocity's, and must be right by itself.
    for i in range(2):
        for j in range(2):
            check_close(flow.covariance[i, j], covariance[i, j], 2e-12)


@pytest.mark.parametrize("x", [math.sqrt(50 / 3), math.sqrt(500 / 3)], ids=["h|J|=50", "h|J|=500"])
def test_stiff_swimmer_equals_its_closed_form(x: float) -> None:
    propagator, covariance = swimmer_closed_form(x, 1.0, 0.1)
    flow = flow_of(swimmer(x, 0.1), np.array([0.0, 0.0]), np.diag([0.0, 0.2]), 1.0)
    check_close(flow.propagator[0, 1], propagator[0, 1], 1e-11)
    for i in range(2):
        for j in range(2):
            check_close(flow.covariance[i, j], covariance[i, j], 1e-11)


@pytest.mark.parametrize("d", [3, 10])
def test_stiff_flow_equals_fifty_digits(d: int) -> None:
    """Contracting at rates from 0.5 to 50: Van Loan's block would hold exp(50) and lose everything."""
    random = np.random.default_rng(4)
    basis = np.linalg.qr(random.standard_normal((d, d)))[0] + 0.1 * np.triu(np.ones((d, d)), 1)
    rates = -np.geomspace(0.5, 50, d)
    jacobian = basis @ np.diag(rates) @ np.linalg.inv(basis)
    noise = random.standard_normal((d, d))
    diffusion, force = noise @ noise.T, random.standard_normal(d)
    with mpmath.workdps(50):
        # In the eigenbasis of what float64 holds: S_ij = Q_ij (e^{(l_i + l_j) h} - 1) / (l_i + l_j).
        values, right = mpmath.eig(mpmath.matrix(jacobian.tolist()))
        left = right**-1
        source = left * mpmath.matrix(diffusion.tolist()) * left.T
        vector = left * mpmath.matrix(force.tolist())
        inner = mpmath.matrix(d, d)
        for i in range(d):
            for j in range(d):
                inner[i, j] = source[i, j] * mpmath.expm1(values[i] + values[j]) / (values[i] + values[j])
        covariance = right * inner * right.T
        moved = right * mpmath.matrix([vector[i] * mpmath.expm1(values[i]) / values[i] for i in range(d)])
        exact = np.array([[float(mpmath.re(covariance[i, j])) for j in range(d)] for i in range(d)])
        mean = np.array([float(mpmath.re(moved[i])) for i in range(d)])
    flow = flow_of(jacobian, force, diffusion, 1.0)
    check_close(flow.covariance, exact, 1e-11)
    check_close(flow.displacement, mean, 1e-11)
    eigenvalues = np.linalg.eigvalsh(flow.covariance.squeeze(-1).numpy())
    assert eigenvalues.min() > 0


def test_expanding_flow_equals_matrix_exponentials() -> None:
    jacobian = np.array([[8.0, 1.0], [0.0, 5.0]])
    flow = flow_of(jacobian, np.array([1.0, 2.0]), np.eye(2), 1.0)
    check_close(flow.propagator, scipy.linalg.expm(jacobian))
    check_close(flow.covariance, van_loan(jacobian, np.eye(2), 1.0), 1e-11)


def test_nilpotent_and_zero_jacobians_need_no_special_case() -> None:
    h = 0.7
    still = flow_of(np.zeros((2, 2)), np.array([1.0, 2.0]), np.eye(2), h)
    check_close(still.displacement, h * np.array([1.0, 2.0]), 1e-15)
    check_close(still.covariance, h * np.eye(2), 1e-15)
    # dx = v dt, dv = dW: variances h^3 / 3, h^2 / 2, h.
    integrated = flow_of(np.array([[0.0, 1.0], [0.0, 0.0]]), np.zeros(2), np.diag([0.0, 1.0]), h)
    check_close(integrated.covariance, np.array([[h**3 / 3, h**2 / 2], [h**2 / 2, h]]), 1e-14)


def test_flow_over_no_time_is_the_identity() -> None:
    flow = flow_of(*(problem(3)[i] for i in (0, 1, 3)), 0.0)
    assert torch.equal(flow.propagator.squeeze(-1), torch.eye(3, dtype=torch.float64))
    assert not flow.displacement.any()
    assert not flow.covariance.any()


@pytest.mark.parametrize("d", [2, 10])
def test_flows_compose(d: int) -> None:
    jacobian, force, rate, diffusion = problem(d, seed=5)
    first, second = (
        flow_of(jacobian, force, diffusion, 0.4, rate),
        flow_of(jacobian, force + 0.4 * rate, diffusion, 0.9, rate),
    )
    whole = flow_of(jacobian, force, diffusion, 1.3, rate)
    carry = second.propagator.squeeze(-1).numpy()
    check_close(whole.propagator, carry @ first.propagator.squeeze(-1).numpy())
    check_close(
        whole.displacement, carry @ first.displacement.squeeze(-1).numpy() + second.displacement.squeeze(-1).numpy()
    )
    check_close(
        whole.covariance, carry @ first.covariance.squeeze(-1).numpy() @ carry.T + second.covariance.squeeze(-1).numpy()
    )


@pytest.mark.parametrize("d", [1, 3, 10])
def test_a_batch_of_one_is_broadcast_and_a_batch_is_its_members(d: int) -> None:
    jacobian, force, rate, diffusion = problem(d)
    durations = torch.tensor([0.1, 0.5, 2.0], dtype=torch.float64)
    j, a, b, q = (torch.from_numpy(x[..., None]) for x in (jacobian, force, rate, diffusion))
    together = linear_flow(j, a, q, durations, b)
    full = linear_flow(*(x.expand(*x.shape[:-1], 3) for x in (j, a, q)), durations, b.expand(d, 3))
    for name in ("propagator", "displacement", "covariance"):
        assert getattr(together, name).shape[-1] == 3
        torch.testing.assert_close(getattr(together, name), getattr(full, name), rtol=1e-14, atol=1e-15)
        for k, h in enumerate(durations):
            alone = getattr(linear_flow(j, a, q, h.reshape(1), b), name)
            torch.testing.assert_close(getattr(together, name)[..., k : k + 1], alone, rtol=1e-12, atol=1e-14)


def test_float32_keeps_its_precision_and_dtype() -> None:
    jacobian, force, rate, diffusion = problem(3)
    double = flow_of(jacobian, force, diffusion, 1.0, rate)
    j, a, b, q = (torch.from_numpy(x[..., None]).float() for x in (jacobian, force, rate, diffusion))
    single = linear_flow(j, a, q, torch.ones(1), b)
    for name in ("propagator", "displacement", "covariance"):
        assert getattr(single, name).dtype == torch.float32
        check_close(getattr(single, name).double(), getattr(double, name).squeeze(-1).numpy(), 2e-6)


def test_an_empty_batch_gives_an_empty_flow() -> None:
    empty = linear_flow(torch.zeros(2, 2, 0), torch.zeros(2, 0), torch.zeros(2, 2, 0), torch.zeros(0))
    assert empty.covariance.shape == (2, 2, 0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_jacobian_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(NumericalError, match="not finite"):
        flow_of(np.array([[bad]]), np.ones(1), np.eye(1), 1.0)


def test_covariance_solves_its_differential_equation() -> None:
    jacobian, force, _, diffusion = problem(3, seed=9)

    def rate(_: float, flat: Matrix) -> Matrix:
        s = flat.reshape(3, 3)
        return np.asarray(jacobian @ s + s @ jacobian.T + diffusion).ravel()

    solved = scipy.integrate.solve_ivp(rate, (0, 1), np.zeros(9), rtol=1e-11, atol=1e-13).y[:, -1].reshape(3, 3)
    check_close(flow_of(jacobian, force, diffusion, 1.0).covariance, solved, 1e-9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("rate", [False, True])
@pytest.mark.parametrize("d", [2, 8, UNROLLED + 1])
def test_one_equation_over_many_durations_is_what_it_is_over_each(d: int, rate: bool, dtype: torch.dtype) -> None:
    jacobian, _, _, diffusion = problem(d)
    diffusion[0] = diffusion[:, 0] = 0.0  # reached by the drift alone, at order h^3
    j, q = (torch.from_numpy(array[..., None]) for array in (jacobian, diffusion))
    random = torch.Generator().manual_seed(3)
    a, b = (torch.randn(d, 800, generator=random, dtype=torch.float64) for _ in range(2))
    durations = 1.5 * 2 ** (-3 * torch.rand(800, generator=random, dtype=torch.float64))
    together = linear_flow(j.to(dtype), a.to(dtype), q.to(dtype), durations.to(dtype), b.to(dtype) if rate else None)
    each = linear_flow(j.expand(d, d, 800), a, q.expand(d, d, 800), durations, b if rate else None)
    for name in ("propagator", "displacement", "covariance"):
        value, exact = getattr(together, name), getattr(each, name)
        assert value.dtype == dtype
        scale = exact.flatten(0, -2).abs().amax(0)
        assert float(((value - exact).abs() / scale).max()) < 200 * torch.finfo(dtype).eps
    small = each.covariance[0, 0]
    assert float((together.covariance[0, 0] / small - 1).abs().max()) < 1e4 * torch.finfo(dtype).eps


def test_one_stiff_equation_over_many_durations_is_solved_for_each() -> None:
    d, durations = 8, torch.linspace(0.1, 1.0, 500, dtype=torch.float64)
    j, q = -1e4 * torch.eye(d, dtype=torch.float64).unsqueeze(-1), torch.eye(d, dtype=torch.float64).unsqueeze(-1)
    covariance = linear_flow(j, torch.zeros(d, 1, dtype=torch.float64), q, durations).covariance
    assert torch.allclose(covariance, (q / 2e4).expand(d, d, 500), rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_many_forces_on_one_equation_are_what_each_is(dtype: torch.dtype) -> None:
    d = 13
    jacobian, _, _, diffusion = problem(d)
    j, q, duration = (torch.from_numpy(array[..., None]) for array in (jacobian, diffusion, np.array(0.8)))
    random = torch.Generator().manual_seed(3)
    a, b = (torch.randn(d, 40, generator=random, dtype=torch.float64) for _ in range(2))
    together = linear_flow(*(x.to(dtype) for x in (j, a, q, duration, b)))
    assert together.propagator.shape == together.covariance.shape == (d, d, 1)
    each = linear_flow(j.expand(d, d, 40), a, q, duration.expand(40), b)
    for name in ("propagator", "displacement", "covariance"):
        value, exact = getattr(together, name), getattr(each, name)
        assert value.dtype == dtype
        assert float((value - exact).abs().max() / exact.abs().max()) < 50 * torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_relaxation_however_stiff_has_its_limit(dtype: torch.dtype) -> None:
    rate = 1e25
    jacobian, force, diffusion, duration = (
        torch.full(shape, value, dtype=dtype)
        for shape, value in (((1, 1, 1), -rate), ((1, 1), 3.0), ((1, 1, 1), 2.0), ((1,), 1.0))
    )
    flow = linear_flow(jacobian, force, diffusion, duration)
    assert flow.propagator.abs().max() == 0
    torch.testing.assert_close(flow.displacement, torch.full((1, 1), 3 / rate, dtype=dtype))
    torch.testing.assert_close(flow.covariance, torch.full((1, 1, 1), 1 / rate, dtype=dtype))
