"""What ATen operations mean for scalars: the table behind tracing.

Structural operations only move elements about, and are applied to the array of places itself. Pointwise operations
are applied place by place, reductions along axes.
"""

import math
from collections.abc import Callable

from physcore.fusion.program import Program

__all__ = ["CREATIONS", "POINTWISE", "REDUCTIONS", "STRUCTURAL"]

# fmt: off
STRUCTURAL = frozenset({
    "_unsafe_view", "alias", "as_strided", "broadcast_in_dim", "broadcast_to", "cat", "clone", "concatenate",
    "contiguous", "detach", "diagonal", "expand", "expand_as", "flatten", "flip", "gather", "index",
    "index_select", "lift_fresh", "lift_fresh_copy", "movedim", "narrow", "permute", "ravel", "repeat", "reshape",
    "roll", "select", "slice", "split", "split_with_sizes", "squeeze", "stack", "t", "transpose", "unbind",
    "unflatten", "unfold", "unsqueeze", "view", "view_of",
})
CREATIONS = frozenset({
    "_efficientzerotensor", "_new_zeros_with_same_feature_meta", "arange", "empty", "empty_like", "empty_strided",
    "eye", "fill", "full", "full_like", "new_empty", "new_empty_strided", "new_full", "new_ones", "new_zeros",
    "ones", "ones_like", "scalar_tensor", "zeros", "zeros_like",
})
SAME_NAME = frozenset({
    "abs", "acos", "asin", "atan", "atan2", "cbrt", "ceil", "cos", "cosh", "div", "eq", "erf", "erfc", "exp",
    "exp2", "expm1", "floor", "ge", "gt", "le", "log", "log10", "log1p", "log2", "logical_and", "logical_or",
    "lt", "maximum", "minimum", "mul", "ne", "neg", "round", "sin", "sinh", "sqrt", "tan", "tanh", "trunc",
    "where",
})
# fmt: on

Scalar = Callable[..., int]


def _same(name: str) -> Scalar:
    return lambda program, *places: program.apply(name, *places)


def _constants(program: Program, *values: float) -> tuple[int, ...]:
    return tuple(program.constant(value) for value in values)


def _add(program: Program, x: int, y: int, alpha: int | None = None) -> int:
    return program.apply("add", x, y if alpha is None else program.apply("mul", y, alpha))


def _sub(program: Program, x: int, y: int, alpha: int | None = None) -> int:
    return program.apply("sub", x, y if alpha is None else program.apply("mul", y, alpha))


def _rsub(program: Program, x: int, y: int, alpha: int | None = None) -> int:
    return program.apply("sub", y, x if alpha is None else program.apply("mul", x, alpha))


def _addcmul(program: Program, x: int, y: int, z: int, value: int | None = None) -> int:
    return _add(program, x, program.apply("mul", y, z), value)


def _addcdiv(program: Program, x: int, y: int, z: int, value: int | None = None) -> int:
    return _add(program, x, program.apply("div", y, z), value)


def _reciprocal(program: Program, x: int) -> int:
    return program.apply("div", program.constant(1.0), x)


def _sigmoid(program: Program, x: int) -> int:
    exponential = program.apply("exp", program.apply("neg", x))
    return _reciprocal(program, program.apply("add", exponential, program.constant(1.0)))


def _silu(program: Program, x: int) -> int:
    return program.apply("mul", x, _sigmoid(program, x))


def _relu(program: Program, x: int) -> int:
    return program.apply("maximum", x, program.constant(0.0))


def _softplus(program: Program, x: int, beta: int | None = None, _threshold: int | None = None) -> int:
    # max(x, 0) + log(1 + exp(-|x|)), which does not overflow and needs no threshold.
    scaled = x if beta is None else program.apply("mul", x, beta)
    small = program.apply("exp", program.apply("neg", program.apply("abs", scaled)))
    value = program.apply("add", _relu(program, scaled), program.apply("log1p", small))
    return value if beta is None else program.apply("div", value, beta)


def _clamp(program: Program, x: int, low: int | None = None, high: int | None = None) -> int:
    x = x if low is None else program.apply("maximum", x, low)
    return x if high is None else program.apply("minimum", x, high)


def _power(program: Program, base: int, exponent: int) -> int:
    if program.is_constant(exponent):
        return program.power(base, program.nodes[exponent].value)
    return program.apply("pow", base, exponent)


def _sign(program: Program, x: int) -> int:
    one, zero = _constants(program, 1.0, 0.0)
    below = program.apply("where", program.apply("lt", x, zero), program.constant(-1.0), zero)
    return program.apply("where", program.apply("gt", x, zero), one, below)


def _remainder(program: Program, x: int, y: int) -> int:
    # Rounds towards minus infinity, as torch and Python do and C does not.
    return program.apply("sub", x, program.apply("mul", y, program.apply("floor", program.apply("div", x, y))))


def _lerp(program: Program, x: int, y: int, weight: int) -> int:
    return _add(program, x, program.apply("sub", y, x), weight)


def _logical_not(program: Program, x: int) -> int:
    return program.apply("logical_not", x)


def _square(program: Program, x: int) -> int:
    return program.apply("mul", x, x)


def _tanh_backward(program: Program, gradient: int, value: int) -> int:
    return program.apply("mul", gradient, program.apply("sub", program.constant(1.0), _square(program, value)))


def _sigmoid_backward(program: Program, gradient: int, value: int) -> int:
    slope = program.apply("mul", value, program.apply("sub", program.constant(1.0), value))
    return program.apply("mul", gradient, slope)


def _threshold_backward(program: Program, gradient: int, x: int, threshold: int) -> int:
    return program.apply("where", program.apply("gt", x, threshold), gradient, program.constant(0.0))


def _silu_backward(program: Program, gradient: int, x: int) -> int:
    sigmoid = _sigmoid(program, x)
    rest = program.apply("mul", x, program.apply("sub", program.constant(1.0), sigmoid))
    slope = program.apply("mul", sigmoid, program.apply("add", program.constant(1.0), rest))
    return program.apply("mul", gradient, slope)


def _softplus_backward(program: Program, gradient: int, x: int, beta: int, _threshold: int) -> int:
    return program.apply("mul", gradient, _sigmoid(program, program.apply("mul", x, beta)))


def _degrees(factor: float) -> Scalar:
    return lambda program, x: program.apply("mul", x, program.constant(factor))


POINTWISE: dict[str, Scalar] = {
    **{name: _same(name) for name in SAME_NAME},
    "add": _add,
    "sub": _sub,
    "rsub": _rsub,
    "addcmul": _addcmul,
    "addcdiv": _addcdiv,
    "reciprocal": _reciprocal,
    "rsqrt": lambda program, x: _reciprocal(program, program.apply("sqrt", x)),
    "sigmoid": _sigmoid,
    "silu": _silu,
    "relu": _relu,
    "softplus": _softplus,
    "clamp": _clamp,
    "clamp_min": _clamp,
    "clamp_max": lambda program, x, high: _clamp(program, x, None, high),
    "pow": _power,
    "square": _square,
    "sign": _sign,
    "sgn": _sign,
    "remainder": _remainder,
    "lerp": _lerp,
    "hypot": lambda program, x, y: program.apply(
        "sqrt", program.apply("add", _square(program, x), _square(program, y))
    ),
    "masked_fill": lambda program, x, mask, value: program.apply("where", mask, value, x),
    "logical_not": _logical_not,
    "bitwise_not": _logical_not,
    "bitwise_and": _same("logical_and"),
    "bitwise_or": _same("logical_or"),
    "frac": lambda program, x: program.apply("sub", x, program.apply("trunc", x)),
    "tanh_backward": _tanh_backward,
    "sigmoid_backward": _sigmoid_backward,
    "threshold_backward": _threshold_backward,
    "silu_backward": _silu_backward,
    "softplus_backward": _softplus_backward,
    "deg2rad": _degrees(math.pi / 180),
    "rad2deg": _degrees(180 / math.pi),
}


def _mean(program: Program, places: list[int]) -> int:
    return program.apply("mul", program.total("add", places), program.constant(1 / len(places)))


def _norm(program: Program, places: list[int]) -> int:
    return program.apply("sqrt", program.total("add", [_square(program, x) for x in places]))


def _logsumexp(program: Program, places: list[int]) -> int:
    largest = program.total("maximum", places)
    parts = [program.apply("exp", program.apply("sub", x, largest)) for x in places]
    return program.apply("add", largest, program.apply("log", program.total("add", parts)))


REDUCTIONS: dict[str, Callable[[Program, list[int]], int]] = {
    "sum": lambda program, places: program.total("add", places),
    "prod": lambda program, places: program.total("mul", places),
    "amax": lambda program, places: program.total("maximum", places),
    "amin": lambda program, places: program.total("minimum", places),
    "mean": _mean,
    "linalg_vector_norm": _norm,
    "logsumexp": _logsumexp,
}
