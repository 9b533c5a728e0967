"""The compiled flow of linear equations against many digits, against torch, and lane by lane."""

import mpmath
import numpy as np
import pytest
import torch
from torch import Tensor

from physcore import fused_flow
from physcore.errors import NumericalError
from physcore.fused_flow import FEWEST_EQUATIONS, LARGEST_DIMENSION
from physcore.fusion import compiler
from physcore.linear_flow import LinearFlow, linear_flow

BATCH = FEWEST_EQUATIONS + 5  # no multiple of any number of lanes
BLOCKS = ("propagator", "displacement", "covariance")
Operands = list[Tensor | None]


@pytest.fixture
def kernels() -> None:
    """Skip where nothing is compiled."""
    if compiler._compiler() is None:
        pytest.skip("no C compiler")
    assert fused_flow._kernel(2, torch.float64, False) is not None


def equations(d: int, batch: int = BATCH, rates: bool = False) -> list[Tensor]:
    """Return equations of order one over durations from almost nothing to several doublings."""
    generator = torch.Generator().manual_seed(d)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    noise = normal(batch, d, d)
    diffusion = (noise @ noise.mT).permute(1, 2, 0).contiguous()
    jacobian = normal(d, d, batch) / d**0.5 - torch.eye(d, dtype=torch.float64).unsqueeze(-1)
    duration = torch.logspace(-3, 0.5, batch, dtype=torch.float64)
    growth = [normal(d, batch), 0.3 * diffusion.flip(-1)] if rates else []
    return [jacobian, normal(d, batch), diffusion, duration, *growth]


def by_torch(operands: Operands) -> LinearFlow:
    """Return the flow in parts so small that torch computes them."""
    parts = []
    for first in range(0, BATCH, FEWEST_EQUATIONS - 1):
        rows = slice(first, first + FEWEST_EQUATIONS - 1)
        parts.append(linear_flow(*(x if x is None or x.shape[-1] == 1 else x[..., rows] for x in operands)))  # type: ignore[arg-type]
    return LinearFlow(*(torch.cat([getattr(part, name) for part in parts], -1) for name in BLOCKS))


def largest_error(actual: Tensor, expected: Tensor) -> float:
    """Return the largest error of a sample relative to its own largest entry."""
    actual, expected = (x.double().reshape(-1, x.shape[-1]) for x in (actual, expected))
    return float(((actual - expected).abs().amax(0) / expected.abs().amax(0)).max())


def check_same(flow: LinearFlow, expected: LinearFlow, tolerance: float) -> None:
    for name in BLOCKS:
        error = largest_error(getattr(flow, name), getattr(expected, name))
        assert error < tolerance, f"{name}: {error:.1e}"


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("rates", [False, True], ids=["constant", "growing"])
@pytest.mark.parametrize("d", range(1, LARGEST_DIMENSION + 1))
def test_compiled_flow_is_that_of_torch(d: int, rates: bool) -> None:
    operands = equations(d, rates=rates)
    compiled = fused_flow.fused_flow(*operands)
    assert compiled is not None
    check_same(LinearFlow(*compiled), by_torch([*operands]), 1e-13)
    with pytest.raises(AssertionError):
        check_same(LinearFlow(*compiled), by_torch([operands[0] * (1 + 1e-11), *operands[1:]]), 1e-13)


@pytest.mark.usefixtures("kernels")
def test_float32_keeps_its_precision_and_dtype() -> None:
    operands = equations(3, rates=True)
    single = linear_flow(*(x.float() for x in operands))
    assert {getattr(single, name).dtype for name in BLOCKS} == {torch.float32}
    check_same(single, linear_flow(*operands), 1e-5)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("shared", [(0, 2), (1,), (2, 3), (0,)], ids=str)
def test_a_batch_of_one_is_broadcast(shared: tuple[int, ...]) -> None:
    operands = [x[..., :1] if i in shared else x for i, x in enumerate(equations(3))]
    assert fused_flow.fused_flow(*operands) is not None
    check_same(linear_flow(*operands), by_torch([*operands]), 1e-13)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("missing", [4, 5])
def test_one_rate_may_be_missing(missing: int) -> None:
    operands: Operands = [None if i == missing else x for i, x in enumerate(equations(2, rates=True))]
    assert fused_flow.fused_flow(*operands) is not None
    check_same(linear_flow(*operands), by_torch(operands), 1e-13)  # type: ignore[arg-type]


def exact(jacobian: Tensor, diffusion: Tensor, h: float) -> tuple[Tensor, Tensor]:
    """Return propagator and covariance from Van Loan's block in many digits."""
    d = len(jacobian)
    with mpmath.workdps(400):
        block = mpmath.zeros(2 * d)
        for i in range(d):
            for j in range(d):
                block[i, j], block[d + i, d + j] = float(jacobian[i, j]), -float(jacobian[j, i])
                block[i, d + j] = float(diffusion[i, j])
        exponential = mpmath.expm(block * mpmath.mpf(h))
        propagator, lower = exponential[:d, :d], exponential[:d, d:]
        parts = [np.array((m).tolist(), float) for m in (propagator, lower * propagator.T)]
    return torch.from_numpy(parts[0]), torch.from_numpy(parts[1])


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("d", [2, 4])
def test_stiff_equations_keep_their_digits_where_van_loan_loses_them(d: int) -> None:
    _, force, diffusion, duration = equations(d)
    slow = torch.randn(d, d, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    stiff = (slow @ torch.diag(-torch.logspace(-1, 1.5, d, dtype=torch.float64)) @ torch.linalg.inv(slow)).unsqueeze(-1)
    flow = linear_flow(stiff, force, diffusion, torch.ones_like(duration))
    block = torch.zeros(2 * d, 2 * d, dtype=torch.float64)
    for sample in (0, 7, BATCH - 1):
        propagator, covariance = exact(stiff[..., 0], diffusion[..., sample], 1.0)
        own = largest_error(flow.covariance[..., sample : sample + 1], covariance.unsqueeze(-1))
        assert own < 1e-12
        assert largest_error(flow.propagator[..., sample : sample + 1], propagator.unsqueeze(-1)) < 1e-12
        block[:d, :d], block[:d, d:], block[d:, d:] = stiff[..., 0], diffusion[..., sample], -stiff[..., 0].T
        exponential = torch.linalg.matrix_exp(block)
        van_loan = exponential[:d, d:] @ exponential[:d, :d].T
        assert largest_error(van_loan.unsqueeze(-1), covariance.unsqueeze(-1)) > 1e3 * own


@pytest.mark.usefixtures("kernels")
def test_lanes_do_not_know_of_each_other() -> None:
    operands = equations(3)
    alone = linear_flow(*operands)
    operands[0][..., 5] *= 1e4
    with_stiff_neighbour = linear_flow(*operands)
    others = torch.arange(BATCH) != 5
    for name in BLOCKS:
        first, second = (getattr(flow, name)[..., others] for flow in (alone, with_stiff_neighbour))
        torch.testing.assert_close(first, second, rtol=1e-14, atol=1e-14)


@pytest.mark.usefixtures("kernels")
def test_threads_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    operands = equations(2, batch=1000)
    alone = linear_flow(*operands)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    together = linear_flow(*operands)
    assert all(torch.equal(getattr(alone, name), getattr(together, name)) for name in BLOCKS)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("batch", [2**15, 2**15 + 3], ids=["aligned", "unaligned"])
def test_results_larger_than_the_caches_are_those_of_few(batch: int) -> None:
    operands = equations(3, batch)
    together = linear_flow(*operands)
    last = linear_flow(*(x[..., -BATCH:] for x in operands))
    for name in BLOCKS:
        torch.testing.assert_close(getattr(together, name)[..., -BATCH:], getattr(last, name), rtol=1e-13, atol=1e-14)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_jacobian_that_is_not_finite_is_refused(bad: float) -> None:
    operands = equations(2)
    operands[0][0, 1, BATCH - 1] = bad
    with pytest.raises(NumericalError, match="not finite"):
        linear_flow(*operands)


def test_what_no_kernel_can_do_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    operands = equations(2)
    recorded = [operands[0].clone().requires_grad_(), *operands[1:]]
    assert fused_flow.fused_flow(*recorded) is None
    assert linear_flow(*recorded).covariance.requires_grad
    assert fused_flow.fused_flow(*(x[..., :9] for x in operands)) is None
    assert fused_flow.fused_flow(operands[0], operands[1].float(), *operands[2:]) is None
    assert fused_flow.fused_flow(*equations(LARGEST_DIMENSION + 1)) is None
    shared = [x if i == 1 else x[..., :1] for i, x in enumerate(operands)]
    assert linear_flow(*shared).covariance.shape == (2, 2, 1)
    force, direction = operands[1], torch.ones_like(operands[1])
    _, slope = torch.func.jvp(lambda a: linear_flow(operands[0], a, *operands[2:]).displacement, (force,), (direction,))
    assert bool((slope != 0).all())
    monkeypatch.setattr(fused_flow, "_kernel", lambda *_: None)
    check_same(linear_flow(*operands), by_torch([*operands]), 1e-13)
