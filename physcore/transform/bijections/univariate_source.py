r"""Functions of one variable and their derivatives written out in C, for kernels that carry tiles of points.

Rational-quadratic splines: between knots :math:`(x_k, y_k)` with slopes :math:`d_k`,
:math:`s = (y_{k+1} - y_k) / (x_{k+1} - x_k)`,

.. math:: y = y_k + (y_{k+1} - y_k) \frac{s z^2 + d_k z (1 - z)}{s + (d_k + d_{k+1} - 2 s) z (1 - z)}, \qquad
          z = \frac{x - x_k}{x_{k+1} - x_k} .

Knots are cumulative shares, softmax of the parameters; beyond the outer ones a spline is the identity. Functions whose
operations can be traced are traced, with their derivatives.

Source: Durkan, Bekasov, Murray and Papamakarios, Neural spline flows (2019), equations 4 to 8, in the parameters of
zuko; the derivatives by them are derived.
"""

import functools
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from physcore.fusion import Untraceable, c_function, trace

__all__ = ["activation_source", "univariate_source"]

SPLINE = "MonotonicRQSTransform"
BOUND, SLOPE = 5.0, 1e-3  # zuko's where they are not given
MOST_TRACED = 12  # parameters; more are no function of a few terms
EXAMPLE = 0.31


def activation_source(activation: nn.Module, single: bool) -> str:
    """Return the C function ``activate`` that puts a function and its slope in the place of rows of arguments.

    Arguments:
        activation: The function.
        single: Whether numbers are float32 and not float64.

    Raises:
        Untraceable: If its operations cannot be traced.
    """

    def with_slope(x: Tensor) -> Tensor:
        return torch.cat(torch.func.jvp(activation, (x,), (torch.ones_like(x),)))

    body = _traced(with_slope, {"x": 1}, {"x[0]": "value[l]"}, ["const real new_value", "rate[l]"], single)
    return _function("void activate(row value, row rate)", body + "\nvalue[l] = new_value;")


def univariate_source(make: Callable[..., Any], shapes: Sequence[tuple[int, ...]], single: bool) -> str:
    """Return ``struct jet`` and the C functions ``open`` and ``adjoint`` of a kind of function.

    Arguments:
        make: From parameters, one tensor of each shape, to transformations as those of zuko.
        shapes: Shapes of the parameters.
        single: Whether numbers are float32 and not float64.

    Raises:
        Untraceable: If it is no spline and its operations cannot be traced.
    """
    kind, given = (make.func, make.keywords) if isinstance(make, functools.partial) else (make, {})
    if getattr(kind, "__name__", "") == SPLINE:
        return _spline(given, shapes, single)
    return _traced_univariate(make, shapes, single)


def _spline(given: dict[str, Any], shapes: Sequence[tuple[int, ...]], single: bool) -> str:
    bins = shapes[0][0] if shapes and len(shapes[0]) == 1 else 0
    if not given.keys() <= {"bound", "slope"} or list(shapes) != [(bins,), (bins,), (bins - 1,)] or bins < 2:
        raise Untraceable("a spline of unknown parameters")
    ending = "f" if single else ""
    names = {name.upper(): f"{name}{ending}" for name in ("exp", "fabs", "sqrt")}
    names |= {"BINS": str(bins), "BOUND": f"(REAL){float(given.get('bound', BOUND))!r}"}
    names["CLIP"] = f"(REAL){1 / abs(math.log(given.get('slope', SLOPE)))!r}"
    defined = "\n".join(f"#define {name} {value}" for name, value in names.items())
    return f"{defined}\n{(Path(__file__).parent / 'spline.h').read_text(encoding='utf-8')}"


def _traced_univariate(make: Callable[..., Any], shapes: Sequence[tuple[int, ...]], single: bool) -> str:
    sizes = [math.prod(shape) for shape in shapes]
    count = sum(sizes)
    if not 0 < count <= MOST_TRACED:
        raise Untraceable(f"{count} parameters")

    def made(parameters: Tensor) -> Any:
        parts = torch.split(parameters, sizes)
        return make(*(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)))

    def both(parameters: Tensor, x: Tensor) -> Tensor:
        value, growth = made(parameters).call_and_ladj(x.reshape(()))
        return torch.stack([value, growth])

    def jet(parameters: Tensor, x: Tensor) -> Tensor:
        value, slopes = torch.func.jvp(lambda x: both(parameters, x), (x,), (torch.ones_like(x),))[:2]
        axes = torch.eye(count, dtype=x.dtype)
        along = [torch.func.jvp(lambda p: both(p, x), (parameters,), (axis,))[1] for axis in axes]
        return torch.cat([value[:1], slopes, *(each[:1] for each in along), *(each[1:] for each in along)])

    inputs = {"p": count, "x": 1}
    places = {f"p[{k}]": f"p[{k}][l]" for k in range(count)} | {"x[0]": "x[l]"}
    targets = [f"j->{name}[l]" for name in ("value", "slope", "bend")]
    targets += [f"j->{name}[{k}][l]" for name in ("v", "g") for k in range(count)]
    on = _traced(jet, inputs, places, targets, single)
    back = _traced(lambda p, x: made(p).inv(x.reshape(())).reshape(1), inputs, places, ["origin[l]"], single)
    return "\n".join(
        [
            f"struct jet {{ row value, slope, bend, v[{count}], g[{count}]; }};",
            _function("void forward(struct jet *restrict j, const row *restrict p, const REAL *restrict x)", on),
            _function("void inverse(const row *restrict p, const REAL *restrict x, REAL *restrict origin)", back),
            "static void open(struct jet *j, const row *p, const REAL *point, int back, int derivatives)\n{\n"
            "    row origin;\n"
            "    if (back) inverse(p, point, origin);\n"
            "    if (derivatives) forward(j, p, back ? origin : point);\n"
            "    if (back) LANE j->value[l] = origin[l];\n}",
            "static void adjoint(const struct jet *j, const row *p, const REAL *score, row *to)\n{\n"
            f"    for (int k = 0; k < {count}; k++) LANE to[k][l] = j->g[k][l] + j->v[k][l] * score[l];\n}}",
        ]
    )


def _traced(
    function: Callable[..., Tensor], inputs: dict[str, int], places: dict[str, str], targets: list[str], single: bool
) -> str:
    """Return the statements of a function for one point, numbers among them."""
    examples = {name: torch.full((size,), EXAMPLE, dtype=torch.float64) for name, size in inputs.items()}
    found = c_function(trace(function, examples), places, frozenset(), targets, single)
    return re.sub(r"\bc\[(\d+)\]", lambda match: f"((real){found.constants[int(match[1])]!r})", found.body)


def _function(head: str, body: str) -> str:
    return f"static {head}\n{{\n    LANE {{\n{body}\n    }}\n}}"
