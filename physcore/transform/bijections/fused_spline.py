r"""Rational-quadratic splines and their derivatives in one compiled pass over memory.

Between knots :math:`(x_k, y_k)` with slopes :math:`d_k`, :math:`s = (y_{k+1} - y_k) / (x_{k+1} - x_k)`,

.. math:: y = y_k + (y_{k+1} - y_k) \frac{s z^2 + d_k z (1 - z)}{s + (d_k + d_{k+1} - 2 s) z (1 - z)}, \qquad
          z = \frac{x - x_k}{x_{k+1} - x_k} .

Knots are cumulative shares, softmax of the parameters; beyond the outer ones a spline is the identity.

Source: Durkan, Bekasov, Murray and Papamakarios, Neural spline flows (2019), equations 4 to 8, in the parameters of
zuko; the derivatives by them are derived.
"""

import ctypes
import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from physcore.fusion import CompilerMissing, compiled, empty, mathematics, readable
from physcore.stepping.threads import over_threads
from physcore.transform.bijections.univariate import Jet, Univariate

__all__ = ["FusedSpline", "univariate"]

GRAIN = 2**11  # points in a thread's part
SPLINE = "MonotonicRQSTransform"
BOUND, SLOPE = 5.0, 1e-3  # of zuko where they are not given


class FusedSpline(Univariate):
    """Splines by a compiled kernel, by autodiff where there can be none.

    Arguments:
        make: See ``Univariate``.
        shapes: Shapes of widths, heights and slopes.
        bound: Where the outer knots lie.
        slope: Smallest slope.
    """

    def __init__(
        self, make: Callable[..., Any], shapes: Sequence[tuple[int, ...]], *, bound: float, slope: float
    ) -> None:
        super().__init__(make, shapes)
        self._bound, self._scale = bound, 1 / abs(math.log(slope))

    def jet(self, parameters: Tensor, points: Tensor) -> Jet:
        """Return the splines with their derivatives; see ``Univariate.jet``."""
        kernels = self._kernels(parameters, points)
        if kernels is None:
            return super().jet(parameters, points)
        results = [empty(tuple(points.shape), points.dtype) for _ in range(3)]
        results += [empty((len(points), self.parameters, points.shape[1]), points.dtype) for _ in range(2)]
        self._run(kernels.jet, [parameters.detach(), points.detach(), *results], points)
        return Jet(*results)

    def inverse(self, parameters: Tensor, image: Tensor) -> Tensor:
        """Return the points before; see ``Univariate.inverse``."""
        kernels = self._kernels(parameters, image)
        if kernels is None:
            return super().inverse(parameters, image)
        result = empty(tuple(image.shape), image.dtype)
        self._run(kernels.inverse, [parameters.detach(), image.detach(), result], image)
        return result

    def _kernels(self, parameters: Tensor, points: Tensor) -> Any:
        parameters, points = parameters.detach(), points.detach()
        whole = parameters.is_contiguous() and points.is_contiguous() and parameters.dtype == points.dtype
        return _built(self.sizes[0], points.dtype == torch.float32) if whole and readable(parameters, points) else None

    def _run(self, kernel: Any, tensors: list[Tensor], points: Tensor) -> None:
        """Run a kernel for every component on the rows of its own."""
        length = points.shape[1]
        places = [tensor.reshape(len(points), -1) for tensor in tensors]
        limits = (ctypes.c_double(self._bound), ctypes.c_double(self._scale), ctypes.c_int64(length))

        def part(first: int, last: int) -> int:
            for component in range(len(points)):
                rows = [ctypes.c_void_p(place[component].data_ptr()) for place in places]
                kernel(*rows, *limits, ctypes.c_int64(first), ctypes.c_int64(last))
            return 0

        over_threads(part, length, GRAIN)


def univariate(make: Callable[..., Any], shapes: Sequence[tuple[int, ...]]) -> Univariate:
    """Return transformations of one variable, by a kernel where they are splines of zuko.

    Arguments:
        make: See ``Univariate``.
        shapes: See ``Univariate``.
    """
    kind, given = (make.func, make.keywords) if isinstance(make, functools.partial) else (make, {})
    known = getattr(kind, "__name__", "") == SPLINE and given.keys() <= {"bound", "slope"}
    bins = shapes[0][0] if shapes and len(shapes[0]) == 1 else 0
    if not known or list(shapes) != [(bins,), (bins,), (bins - 1,)] or bins < 2:
        return Univariate(make, shapes)
    return FusedSpline(make, shapes, bound=given.get("bound", BOUND), slope=given.get("slope", SLOPE))


@functools.lru_cache(maxsize=16)
def _built(bins: int, single: bool) -> Any:
    ending = "f" if single else ""
    names = {"REAL": "float" if single else "double", "BINS": str(bins)}
    names |= {name.upper(): f"{name}{ending}" for name in ("exp", "fabs", "sqrt")}
    defined = "\n".join(f"#define {name} {value}" for name, value in names.items())
    source = (Path(__file__).parent / "spline.h").read_text(encoding="utf-8")
    try:
        kernels = compiled(f"{mathematics()}\n{defined}\n{source}")
    except CompilerMissing:
        return None
    kernels.jet.restype = kernels.inverse.restype = None
    return kernels
