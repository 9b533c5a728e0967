"""Scalar programs: what a traced function does to the components of one state.

A program is a list of scalar operations in the order of evaluation, each named by its place. Equal operations are
kept once, constants are folded, and what the outputs do not need is left out at the end.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

__all__ = ["CONSTANT", "INPUT", "Node", "Program", "TooLarge"]

CONSTANT, INPUT = "constant", "input"
LARGEST_PROGRAM = 8_000
LARGEST_POWER = 16
BOOLEAN = frozenset({"lt", "le", "gt", "ge", "eq", "ne", "logical_and", "logical_or", "logical_not"})

_UNARY: dict[str, Callable[[float], float]] = {
    "neg": lambda x: -x,
    "abs": abs,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "sin": math.sin,
    "cos": math.cos,
    "tanh": math.tanh,
}
_BINARY: dict[str, Callable[[float, float], float]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
}


class TooLarge(ValueError):
    """A traced function has more operations than a fused kernel is worth."""


@dataclasses.dataclass(frozen=True)
class Node:
    """One scalar operation.

    Arguments:
        operation: Its name, ``"constant"`` or ``"input"``.
        arguments: Places of its arguments.
        value: The value of a constant.
        name: The name of an input, such as ``"x0"``.
    """

    operation: str
    arguments: tuple[int, ...] = ()
    value: float = 0.0
    name: str = ""


class Program:
    """A growing list of scalar operations.

    Attributes:
        nodes: The operations, arguments before their users.
        outputs: Places of the results, set when tracing ends.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.outputs: list[int] = []
        self._places: dict[Node, int] = {}

    def constant(self, value: float) -> int:
        """Return the place of a constant."""
        return self._place(Node(CONSTANT, value=float(value)))

    def input(self, name: str) -> int:
        """Return the place of an input."""
        return self._place(Node(INPUT, name=name))

    def is_constant(self, place: int) -> bool:
        """Return whether an operation is a constant."""
        return self.nodes[place].operation == CONSTANT

    def is_boolean(self, place: int) -> bool:
        """Return whether an operation's result is true or false."""
        return self.nodes[place].operation in BOOLEAN

    def apply(self, operation: str, *arguments: int) -> int:
        """Return the place of an operation on earlier results, simplified where its value does not change."""
        known = [self.nodes[a].value if self.is_constant(a) else None for a in arguments]
        folded = self._folded(operation, known)
        if folded is not None:
            return self.constant(folded)
        simpler = self._simplified(operation, arguments, known)
        return self._place(Node(operation, arguments)) if simpler is None else simpler

    def power(self, base: int, exponent: float) -> int:
        """Return the place of a power; small whole exponents become products."""
        if exponent == round(exponent) and abs(exponent) <= LARGEST_POWER:
            result, factor, left = self.constant(1.0), base, abs(int(exponent))
            while left:
                if left % 2:
                    result = self.apply("mul", result, factor)
                left //= 2
                if left:
                    factor = self.apply("mul", factor, factor)
            return result if exponent >= 0 else self.apply("div", self.constant(1.0), result)
        if exponent in (0.5, -0.5):
            root = self.apply("sqrt", base)
            return root if exponent > 0 else self.apply("div", self.constant(1.0), root)
        return self.apply("pow", base, self.constant(exponent))

    def total(self, operation: str, arguments: Sequence[int]) -> int:
        """Return the place of an associative operation over many arguments, as a balanced tree."""
        level = list(arguments)
        while len(level) > 1:
            pairs = [self.apply(operation, a, b) for a, b in zip(level[::2], level[1::2], strict=False)]
            level = pairs + level[len(pairs) * 2 :]
        return level[0]

    def needed(self) -> list[int]:
        """Return the places that the outputs depend on, in order of evaluation."""
        wanted = set(self.outputs)
        for place in range(len(self.nodes) - 1, -1, -1):
            if place in wanted:
                wanted.update(self.nodes[place].arguments)
        return sorted(wanted)

    def _scaled(self, place: int, factor: float) -> int | None:
        """Return a product of a number and a constant times another constant as one product, if it is one."""
        node = self.nodes[place]
        if node.operation == "neg":
            return self.apply("mul", node.arguments[0], self.constant(-factor))
        if node.operation != "mul":
            return None
        for constant, other in (node.arguments, node.arguments[::-1]):
            if self.is_constant(constant):
                return self.apply("mul", other, self.constant(self.nodes[constant].value * factor))
        return None

    def _place(self, node: Node) -> int:
        place = self._places.get(node)
        if place is None:
            if len(self.nodes) >= LARGEST_PROGRAM:
                raise TooLarge(f"more than {LARGEST_PROGRAM} operations on one state")
            place = self._places[node] = len(self.nodes)
            self.nodes.append(node)
        return place

    def _folded(self, operation: str, known: Sequence[float | None]) -> float | None:
        try:
            match known:
                case [float(x)] if operation in _UNARY:
                    return _UNARY[operation](x)
                case [float(x), float(y)] if operation in _BINARY:
                    return _BINARY[operation](x, y)
        except (ValueError, ZeroDivisionError, OverflowError):
            return math.nan
        return None

    def _simplified(self, operation: str, arguments: Sequence[int], known: Sequence[float | None]) -> int | None:
        """Return the place of an equal result that costs less, None if there is none; values are taken as finite."""
        simpler: int | None = None
        match operation, arguments, known:
            case ("add", (_, y), (0.0, _)) | ("mul", (_, y), (1.0, _)):
                simpler = y
            case ("add" | "sub", (x, _), (_, 0.0)) | ("mul" | "div", (x, _), (_, 1.0)):
                simpler = x
            case ("sub", (_, y), (0.0, _)) | ("mul", (_, y), (-1.0, _)) | ("mul", (y, _), (_, -1.0)):
                simpler = self.apply("neg", y)
            case ("mul", _, (0.0, _) | (_, 0.0)) | ("div", _, (0.0, _)):
                simpler = self.constant(0.0)
            case ("div", (x, _), (_, float(divisor))) if divisor != 0:
                simpler = self.apply("mul", x, self.constant(1 / divisor))
            case ("where", (_, x, y), (chosen, _, _)) if x == y or chosen is not None:
                simpler = x if x == y or chosen else y
            case ("neg", (x,), _) if self.nodes[x].operation == "neg":
                simpler = self.nodes[x].arguments[0]
            case ("mul", (x, _), (None, float(factor))) | ("mul", (_, x), (float(factor), None)):
                simpler = self._scaled(x, factor)
            case ("mul" | "add" as name, (x, y), _) if x > y:
                simpler = self.apply(name, y, x)
        return simpler
