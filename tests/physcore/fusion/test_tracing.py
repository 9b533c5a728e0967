"""A traced program computes what the torch function computes."""

import ctypes
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from physcore.fusion import CompilerMissing, TooLarge, Untraceable, c_function, compiled, trace

Function = Callable[[Tensor, Tensor], Tensor]

MATRIX = torch.tensor([[0.3, -1.2, 0.5], [0.0, 0.7, 2.0], [1.1, 0.4, -0.6]], dtype=torch.float64)
STATES = torch.tensor([[0.31, 0.52, 0.67], [-0.9, 0.44, 1.3], [2.2, -1.7, 0.05]], dtype=torch.float64)
PAIRS = torch.combinations(torch.arange(3))


def written_into(x: Tensor, t: Tensor) -> Tensor:
    result = torch.empty_like(x)
    result[..., 0] = x[..., 1] * t
    result[..., 1:] = x[..., :2] ** 2
    result[..., 2] += 1.5
    return result


def gradient(x: Tensor, t: Tensor) -> Tensor:
    with torch.enable_grad():
        y = x.detach().requires_grad_()
        return torch.autograd.grad((y**4 / 4 + y.roll(1, -1) * torch.cos(y)).sum(), y)[0]


def gradient_of_selections(x: Tensor, t: Tensor) -> Tensor:
    with torch.enable_grad():
        y = x.detach().requires_grad_()
        mixed = torch.softmax(y[..., 1:] * t, -1) * y[..., :2] + y[..., 0:1] ** 3
        value = torch.tanh(mixed).sum() + torch.sigmoid(y[..., 2]).sum() + torch.relu(y - 0.4).square().sum()
        return torch.autograd.grad(value, y)[0]


def directional(x: Tensor, t: Tensor) -> Tensor:
    return torch.func.jvp(lambda y: torch.sin(y) * y.roll(1, -1) + t, (x,), (torch.ones_like(x) * 0.5,))[1]


def pair_sum(x: Tensor, t: Tensor) -> Tensor:
    difference = x[..., PAIRS[:, 0]] - x[..., PAIRS[:, 1]]
    force = difference * torch.exp(-difference.square())
    total = torch.zeros_like(x).index_add(-1, PAIRS[:, 0], force)
    return total.index_add(-1, PAIRS[:, 1], -force)


FUNCTIONS: dict[str, Function] = {
    "arithmetic": lambda x, t: (2 - x) / (1 + x * x) - 3 * x / t + x.reciprocal() + torch.rsqrt(x + 3),
    "powers": lambda x, t: x**3 + x**-2 + x.abs() ** 0.5 + x.abs() ** 1.7 + x.pow(0) + (2 + x) ** x,
    "transcendental": lambda x, t: torch.sin(x) * torch.cos(x) + torch.tanh(x) + torch.exp(-x) + torch.log(x + 3),
    "more functions": lambda x, t: torch.atan2(x, t) + torch.erf(x) + torch.expm1(x) + torch.log1p(x.abs()),
    "hyperbolic": lambda x, t: torch.sinh(x) + torch.cosh(x) + torch.asin(x / 5) + torch.acos(x / 5) + torch.atan(x),
    "networks": lambda x, t: torch.nn.functional.silu(x) + torch.sigmoid(x) + torch.nn.functional.softplus(x),
    "time": lambda x, t: x * torch.cos(3 * t) + torch.exp(-t),
    "rounding": lambda x, t: torch.floor(3 * x) + torch.round(5 * x) + torch.ceil(x) + torch.remainder(x, 0.7),
    "comparisons": lambda x, t: torch.where(x > 0.4, x, -x) + (x <= t) * 2.0 + x.clamp(0.35, 0.6) + torch.sign(x - t),
    "logic": lambda x, t: torch.where((x > 0.4) & ~(x > 0.6) | (x < -1), 1.0, x).minimum(t).maximum(-t),
    "masks": lambda x, t: x.masked_fill(x > 0.5, 2.0),
    "conversion": lambda x, t: (x > 0.5).to(x.dtype) * x.float().double(),
    "sums": lambda x, t: x - x.mean(-1, keepdim=True) + x.sum() + x.prod(-1, keepdim=True) + x.amax(),
    "norms": lambda x, t: x / torch.linalg.vector_norm(x, dim=-1, keepdim=True) + x.norm() + x.cumsum(-1),
    "softmax": lambda x, t: torch.softmax(3 * x, -1) + torch.logsumexp(x, -1, keepdim=True) + x.log_softmax(-1),
    "stacking": lambda x, t: (
        torch.stack([x[..., 2], x[..., 0], x[..., 1]], -1) + torch.cat([x[..., 1:], x[..., :1]], -1)
    ),
    "moving": lambda x, t: x.roll(1, -1) + x.flip(-1) + x.unflatten(-1, (3, 1)).squeeze(-1) + x[..., [2, 2, 0]],
    "matrices": lambda x, t: (
        x @ MATRIX.T + (MATRIX @ x.unsqueeze(-1)).squeeze(-1) + torch.einsum("ij,bj->bi", MATRIX, x)
    ),
    "addcmul": lambda x, t: torch.addcmul(x, x, x, value=2).addcdiv(x, x + 3, value=-1).add(x, alpha=3).lerp(x, 0.2),
    "written into": written_into,
    "in place": lambda x, t: (x * 1).mul_(2).add_(1).clamp_(min=0.1).div_(3),
    "backward derivative": gradient,
    "derivative of selections": gradient_of_selections,
    "forward derivative": directional,
    "pairs": pair_sum,
    "constants": lambda x, t: x * 0 + torch.ones_like(x) + torch.zeros(3, dtype=x.dtype),
}


def run(function: Function, x: Tensor, t: float, single: bool = False) -> Tensor:
    """Evaluate the traced and compiled function at states of shape (state, 3)."""
    example = {"x": STATES[:1], "t": torch.tensor(0.3, dtype=torch.float64)}
    written = c_function(
        trace(function, example),
        {**{f"x[{i}]": f"x[{i}]" for i in range(3)}, "t[0]": "t"},
        frozenset({"t[0]"}),
        [f"y[{i}]" for i in range(3)],
        single,
    )
    source = f"""
    #include <math.h>
    typedef {"float" if single else "double"} real;
    void evaluate(const double *k, const real *c, double t, const real *x, real *y)
    {{
        real u[{written.coefficient_count + 1}];
        {written.coefficients}
        {written.body}
    }}"""
    kernel = compiled(source).evaluate
    dtype = np.dtype(np.float32 if single else np.float64)
    constants, result = np.array([*written.constants, 0.0]), torch.empty(len(x), 3, dtype=x.dtype)
    for state, out in zip(x, result, strict=True):
        kernel(
            *(a.ctypes.data_as(ctypes.c_void_p) for a in (constants, constants.astype(dtype))),
            ctypes.c_double(t),
            ctypes.c_void_p(state.data_ptr()),
            ctypes.c_void_p(out.data_ptr()),
        )
    return result


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_program_in_double_is_the_function_to_rounding(name: str) -> None:
    expected = FUNCTIONS[name](STATES, torch.tensor(0.9, dtype=torch.float64))
    per_state = torch.cat([FUNCTIONS[name](state[None], torch.tensor(0.9, dtype=torch.float64)) for state in STATES])
    computed = run(FUNCTIONS[name], STATES.clone(), 0.9)
    torch.testing.assert_close(computed, per_state.double(), rtol=1e-6 if name == "conversion" else 1e-12, atol=1e-12)
    if name not in ("sums", "norms"):  # which look across the batch on purpose
        torch.testing.assert_close(expected.double(), per_state.double())


@pytest.mark.parametrize("name", ["arithmetic", "powers", "transcendental", "time", "logic", "softmax", "matrices"])
def test_a_program_in_single_is_the_function_to_its_precision(name: str) -> None:
    expected = FUNCTIONS[name](STATES, torch.tensor(0.9, dtype=torch.float64))
    torch.testing.assert_close(run(FUNCTIONS[name], STATES.float(), 0.9, True).double(), expected, rtol=2e-5, atol=1e-5)


def branching(x: Tensor, t: Tensor) -> Tensor:
    return x if x.sum() > 0 else -x


def indexed_by_state(x: Tensor, t: Tensor) -> Tensor:
    return x[..., x.argsort()[0]]


@pytest.mark.parametrize(
    "function",
    [
        branching,
        indexed_by_state,
        lambda x, t: torch.linalg.inv(x.T @ x + torch.eye(3).double())[0:1],
        lambda x, t: x.sort(-1).values,
        lambda x, t: x * float(x[0, 0]),
        lambda x, t: x + x.long(),
        lambda x, t: x + "wrong",  # type: ignore[operator]
    ],
    ids=["branch", "index", "inverse", "sort", "item", "integer", "error"],
)
def test_what_no_program_can_express_is_refused(function: Function) -> None:
    with pytest.raises(Untraceable):
        trace(function, {"x": STATES[:1], "t": torch.tensor(0.3, dtype=torch.float64)})


def test_a_program_of_many_operations_is_refused() -> None:
    def long(x: Tensor, t: Tensor) -> Tensor:
        for _ in range(8000):
            x = torch.sin(x)
        return x

    with pytest.raises(TooLarge):
        trace(long, {"x": STATES[:1], "t": torch.tensor(0.3, dtype=torch.float64)})


def test_equal_operations_are_done_once_and_unused_ones_never() -> None:
    def repeated(x: Tensor, t: Tensor) -> Tensor:
        torch.exp(x)
        return torch.sin(x[..., :1]) + torch.sin(x[..., :1]) + 0 * torch.cos(x[..., 1:2])

    program = trace(repeated, {"x": STATES[:1], "t": torch.tensor(0.3, dtype=torch.float64)})
    operations = [program.nodes[place].operation for place in program.needed()]
    assert operations.count("sin") == 1
    assert not {"exp", "cos"} & set(operations)


def test_tracing_leaves_the_inputs_and_torch_as_they_were() -> None:
    state = STATES[:1].clone()
    trace(written_into, {"x": state, "t": torch.tensor(0.3, dtype=torch.float64)})
    assert torch.equal(state, STATES[:1])
    assert torch.equal(torch.zeros(2) + 1, torch.ones(2))


def test_a_missing_or_failing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "false")
    with pytest.raises(CompilerMissing, match="false"):
        compiled("int one_that_was_never_compiled(void) { return 1; }")
    monkeypatch.setenv("CC", "")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CompilerMissing, match="no C compiler"):
        compiled("int two_that_was_never_compiled(void) { return 2; }")
