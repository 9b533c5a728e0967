r"""Tracing: reading off what a torch function does to each component of one state.

The function runs once, on a batch of one, while every ATen operation is watched from below autograd and functorch.
Beside each tensor stands a shadow of the same shape that holds, for each element, its place in a scalar program.
Views, stacks and selections are applied to the shadows themselves, which also carries writes into views.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from physcore.fusion.operations import CREATIONS, POINTWISE, REDUCTIONS, STRUCTURAL
from physcore.fusion.program import Program, TooLarge

__all__ = ["Untraceable", "trace"]

CONTRACTIONS = frozenset({"mm", "bmm", "mv", "dot", "vdot", "addmm", "baddbmm", "addmv"})


class Untraceable(ValueError):
    """A function does something that no scalar program can express."""


def trace(function: Callable[..., Tensor], inputs: dict[str, Tensor]) -> Program:
    """Return the scalar program of a pointwise function.

    Arguments:
        function: Takes the inputs in order, returns one tensor; must not depend on their values in any other way
            than through torch operations.
        inputs: Example inputs by name, float64; the element with index i of input ``x`` becomes the program's
            ``x[i]``, in row-major order.

    Returns:
        The program; its outputs are the elements of the result in row-major order.

    Raises:
        Untraceable: If an operation is not pointwise, or values decide what is done.
        TooLarge: If the program has too many operations.
    """
    tracer = _Tracer()
    for name, value in inputs.items():
        tracer.track(value, [tracer.program.input(f"{name}[{i}]") for i in range(value.numel())])
    try:
        with torch.no_grad(), tracer:
            result = function(*inputs.values())
    except (Untraceable, TooLarge):
        raise
    except Exception as error:
        # Whatever fails on a tracer may work on plain tensors; if not, the first plain step raises it again.
        raise Untraceable(f"{type(error).__name__}: {error}") from error
    tracer.program.outputs = [int(place) for place in tracer.shadow(result).flatten()]
    return tracer.program


class _Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.program = Program()
        # Holding the tensors keeps their identities from being given to others.
        self._shadows: dict[int, tuple[Tensor, Tensor]] = {}

    def track(self, tensor: Tensor, places: Sequence[int]) -> None:
        """Give a tensor a shadow with these places, row-major."""
        shadow = torch.empty_strided(tensor.size(), tensor.stride(), dtype=torch.int64)
        shadow.copy_(torch.tensor(places, dtype=torch.int64).reshape(tensor.shape))
        self._shadows[id(tensor)] = (tensor, shadow)

    def shadow(self, value: Any) -> Tensor:
        """Return the shadow of a tensor or a number; what was not seen before is constant."""
        if not isinstance(value, Tensor):
            return torch.tensor(self.program.constant(float(value)))
        if id(value) not in self._shadows:
            values = torch.zeros(value.shape) if value._is_zerotensor() else value
            self.track(value, [self.program.constant(float(v)) for v in values.flatten().tolist()])
        return self._shadows[id(value)][1]

    def is_constant(self, value: Any) -> bool:
        """Return whether no element of a value depends on the inputs."""
        if not isinstance(value, Tensor) or id(value) not in self._shadows:
            return True
        return all(self.program.is_constant(place) for place in self._shadows[id(value)][1].flatten().tolist())

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler, which takes longer than the rest of a small run

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        result = func(*args, **kwargs)
        tensors = [a for a in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(a, Tensor)]
        if any(tensor.is_meta for tensor in [*tensors, *_listed(result)]):
            return result  # torch asks for shapes
        if not _listed(result):
            if name in ("_local_scalar_dense", "equal") and not all(map(self.is_constant, tensors)):
                raise Untraceable("the values of the state decide what is done")
        elif func._schema.is_mutable:
            self._write(name, args, kwargs)
        elif name not in STRUCTURAL and (name in CREATIONS or all(map(self.is_constant, tensors))):
            for tensor in _listed(result):
                self.shadow(tensor)
        else:
            self._record(name, result, args, kwargs)
        return result

    def _write(self, name: str, args: Any, kwargs: Any) -> None:
        """Follow an operation that writes into a tensor."""
        target = kwargs.get("out", args[0])
        shadow = self.shadow(target)
        plain = name.removesuffix("_")
        rest = {key: value for key, value in kwargs.items() if key != "out"}
        if plain == "copy":
            places = self.shadow(args[1])
        elif plain in ("fill", "zero"):
            places = self.shadow(args[1] if len(args) > 1 else 0.0)
        else:
            places = self._places(plain, target, args, rest)
        shadow.copy_(places)

    def _record(self, name: str, result: Any, args: Any, kwargs: Any) -> None:
        """Give the results of an operation their shadows."""
        if name in STRUCTURAL:
            moved = self._moved(name, result, args, kwargs)
            for tensor, shadow in zip(_listed(result), _listed(moved), strict=True):
                self._shadows[id(tensor)] = (tensor, shadow)
        elif isinstance(result, Tensor):
            places = self._places(name, result, args, kwargs)
            self.track(result, places.expand(result.shape).flatten().tolist())
        else:
            raise Untraceable(f"aten.{name} is not pointwise")

    def _moved(self, name: str, result: Any, args: Any, kwargs: Any) -> Any:
        if name in ("index", "index_select", "gather"):
            indices = torch.utils._pytree.tree_leaves((args[1:], kwargs))
            if not all(map(self.is_constant, indices)):
                raise Untraceable("an index depends on the state")
            return getattr(torch.ops.aten, name)(self.shadow(args[0]), *args[1:], **kwargs)
        shadows = torch.utils._pytree.tree_map_only(Tensor, self.shadow, (args, kwargs))
        kept = {key: value for key, value in shadows[1].items() if key not in ("dtype", "memory_format")}
        if name in ("view", "_unsafe_view", "reshape"):
            return shadows[0][0].reshape(result.shape)
        if name == "view_of":
            return shadows[0][0].view(result.shape)
        if name == "broadcast_in_dim":
            return _broadcast_in_dim(shadows[0][0], *args[1:])
        return getattr(torch.ops.aten, name)(*shadows[0], **kept)

    def _places(self, name: str, result: Tensor, args: Any, kwargs: Any) -> Tensor:
        """Return the places of what an operation computes."""
        if name in ("to", "_to_copy", "convert_element_type"):
            places = self._converted(self.shadow(args[0]), result.dtype)
        elif name in POINTWISE and kwargs.pop("rounding_mode", None) is None:
            places = self._pointwise(name, args, kwargs)
        elif name in REDUCTIONS:
            places = self._reduced(name, result, args, kwargs)
        elif name in ("_softmax", "_log_softmax"):
            places = self._softmax(name, *args)
        elif name in CONTRACTIONS:
            places = self._contracted(name, args, kwargs)
        elif name == "cumsum":
            places = self._cumulated(self.shadow(args[0]).movedim(args[1], 0)).movedim(0, args[1])
        elif name == "index_add":
            places = self._index_added(*args)
        elif name in ("slice_backward", "select_backward", "diagonal_backward"):
            places = self._placed(name.removesuffix("_backward"), *args)
        elif name == "_softmax_backward_data":
            places = self._softmax_gradient(*args)
        else:
            raise Untraceable(f"aten.{name} is not pointwise")
        return places

    def _cumulated(self, columns: Tensor) -> Tensor:
        sums = [columns[0]]
        for column in columns[1:]:
            sums.append(self._combined("add", sums[-1], column))
        return torch.stack(sums)

    def _pointwise(self, name: str, args: Any, kwargs: Any) -> Tensor:
        operands = [None if a is None else self.shadow(a) for a in args]
        named = {key: self.shadow(value) for key, value in kwargs.items() if value is not None and key != "dtype"}
        given = [o for o in operands if o is not None]
        # torch's own function for this imports its symbolic mathematics, half a second.
        shape = np.broadcast_shapes(*(o.shape for o in given), *(o.shape for o in named.values()))
        lists = [[None] * math.prod(shape) if o is None else o.expand(shape).flatten().tolist() for o in operands]
        names, more = list(named), [o.expand(shape).flatten().tolist() for o in named.values()]
        function, count = POINTWISE[name], len(lists)
        places = [
            function(self.program, *row[:count], **dict(zip(names, row[count:], strict=True)))
            for row in zip(*lists, *more, strict=True)
        ]
        return torch.tensor(places, dtype=torch.int64).reshape(shape)

    def _combined(self, name: str, first: Tensor, second: Tensor) -> Tensor:
        shape = np.broadcast_shapes(first.shape, second.shape)
        pairs = zip(*(operand.expand(shape).flatten().tolist() for operand in (first, second)), strict=True)
        places = [self.program.apply(name, a, b) for a, b in pairs]
        return torch.tensor(places, dtype=torch.int64).reshape(shape)

    def _reduced(self, name: str, result: Tensor, args: Any, kwargs: Any) -> Tensor:
        source, rest = self.shadow(args[0]), list(args[1:])
        if name == "linalg_vector_norm" and (rest.pop(0) if rest else kwargs.get("ord", 2)) != 2:
            raise Untraceable("a vector norm that is not Euclidean")
        axes = rest[0] if rest else kwargs.get("dim")
        axes = range(source.ndim) if axes is None or axes == [] else [axes] if isinstance(axes, int) else axes
        axes = [axis % max(source.ndim, 1) for axis in axes]
        kept = [axis for axis in range(source.ndim) if axis not in axes]
        rows = source.permute(*kept, *axes).reshape(math.prod(source.shape[axis] for axis in kept), -1)
        places = [REDUCTIONS[name](self.program, row) for row in rows.tolist()]
        return torch.tensor(places, dtype=torch.int64).reshape(result.shape)

    def _softmax(self, name: str, source: Tensor, axis: int, *_: Any) -> Tensor:
        rows = self.shadow(source).movedim(axis, -1)
        program, results = self.program, []
        for row in rows.reshape(-1, rows.shape[-1]).tolist():
            total = REDUCTIONS["logsumexp"](program, row)
            logs = [program.apply("sub", place, total) for place in row]
            results.append(logs if name == "_log_softmax" else [program.apply("exp", place) for place in logs])
        return torch.tensor(results, dtype=torch.int64).reshape(rows.shape).movedim(-1, axis)

    def _softmax_gradient(self, gradient: Tensor, value: Tensor, axis: int, *_: Any) -> Tensor:
        weighted = self._combined("mul", self.shadow(gradient), self.shadow(value))
        rows = weighted.movedim(axis, -1)
        sums = [self.program.total("add", row) for row in rows.reshape(-1, rows.shape[-1]).tolist()]
        total = torch.tensor(sums, dtype=torch.int64).reshape(rows.shape[:-1]).unsqueeze(axis)
        return self._combined("sub", weighted, self._combined("mul", self.shadow(value), total))

    def _placed(self, name: str, gradient: Tensor, shape: Sequence[int], *where: Any) -> Tensor:
        """Return zeros with a part of them replaced, which is how the derivative of a selection acts."""
        zeros = torch.full(tuple(shape), self.program.constant(0.0), dtype=torch.int64)
        getattr(torch.ops.aten, name)(zeros, *where).copy_(self.shadow(gradient))
        return zeros

    def _contracted(self, name: str, args: Any, kwargs: Any) -> Tensor:
        added = args[0] if name in ("addmm", "baddbmm", "addmv") else None
        if added is not None and (kwargs.get("alpha", 1) != 1 or kwargs.get("beta", 1) != 1):
            raise Untraceable(f"aten.{name} with factors")
        left, right = (self.shadow(a) for a in args[-2:])
        if right.ndim == 1:
            products = self._combined("mul", left, right)
        else:
            products = self._combined("mul", left.unsqueeze(-2), right.mT.unsqueeze(-3))
        rows = products.reshape(-1, products.shape[-1]).tolist()
        totals = torch.tensor([self.program.total("add", row) for row in rows]).reshape(products.shape[:-1])
        return totals if added is None else self._combined("add", self.shadow(added), totals)

    def _index_added(self, target: Tensor, axis: int, index: Tensor, source: Tensor) -> Tensor:
        if not self.is_constant(index):
            raise Untraceable("an index depends on the state")
        sums, parts = self.shadow(target).movedim(axis, 0).clone(), self.shadow(source).movedim(axis, 0)
        gathered: dict[int, list[Tensor]] = {}
        for place, part in zip(index.tolist(), parts, strict=True):
            gathered.setdefault(place, []).append(part)
        for place, columns in gathered.items():
            rows = torch.stack([sums[place], *columns], -1).reshape(-1, len(columns) + 1).tolist()
            sums[place] = torch.tensor([self.program.total("add", row) for row in rows]).reshape(sums[place].shape)
        return sums.movedim(0, axis)

    def _converted(self, source: Tensor, dtype: torch.dtype) -> Tensor:
        places = source.flatten().tolist()
        if dtype.is_floating_point:
            one, zero = self.program.constant(1.0), self.program.constant(0.0)
            places = [self.program.apply("where", p, one, zero) if self.program.is_boolean(p) else p for p in places]
        elif dtype != torch.bool or not all(map(self.program.is_boolean, places)):
            raise Untraceable(f"a conversion to {dtype}")
        return torch.tensor(places, dtype=torch.int64).reshape(source.shape)


def _listed(result: Any) -> list[Tensor]:
    parts = result if isinstance(result, list | tuple) else [result]
    return [part for part in parts if isinstance(part, Tensor)]


def _broadcast_in_dim(source: Tensor, shape: Sequence[int], axes: Sequence[int]) -> Tensor:
    sizes = [1] * len(shape)
    for axis, size in zip(axes, source.shape, strict=True):
        sizes[axis] = size
    return source.reshape(sizes).expand(shape)
