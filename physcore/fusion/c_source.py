"""Scalar programs written out in C, the same text for a CPU's lanes and for CUDA."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path

from physcore.fusion.program import CONSTANT, INPUT, Program

__all__ = ["CFunction", "c_function", "mathematics"]

INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
INFIX |= {"eq": "==", "ne": "!=", "logical_and": "&", "logical_or": "|"}
LIBRARY = ["cos", "sin", "tan", "cosh", "sinh", "tanh", "acos", "asin", "atan", "atan2", "exp", "exp2", "expm1", "log"]
LIBRARY += ["log10", "log1p", "log2", "pow", "sqrt", "cbrt", "erf", "erfc", "floor", "ceil", "trunc"]
# {0}, {1}, ... are the arguments, {f} is the ending of a function's name in the precision at hand.
FORMATS = {
    **{name: f"{{0}} {sign} {{1}}" for name, sign in INFIX.items()},
    **{name: f"{name}{{f}}({{0}})" for name in LIBRARY},
    "atan2": "atan2{f}({0}, {1})",
    "pow": "pow{f}({0}, {1})",
    "abs": "fabs{f}({0})",
    "round": "rint{f}({0})",
    "neg": "-{0}",
    "logical_not": "!{0}",
    "where": "{0} ? {1} : {2}",
    # In this order a NaN in the first argument stays one.
    "maximum": "{0} < {1} ? {1} : {0}",
    "minimum": "{0} > {1} ? {1} : {0}",
}
# Operations that take truth values, and how many.
TRUTHS = {"logical_and": 2, "logical_or": 2, "logical_not": 1, "where": 1}


@functools.cache
def mathematics() -> str:
    """Return the declarations of the functions that the statements call, for a C compiler."""
    return (Path(__file__).parent / "mathematics.h").read_text()


@dataclasses.dataclass(frozen=True)
class CFunction:
    """A program as C statements.

    Attributes:
        coefficients: Statements that compute ``u[...]``, in double, from what is the same for all paths.
        coefficient_count: Length of ``u``.
        body: Statements for one path; they end with the writing of the outputs.
        constants: Values of ``c[...]`` and ``k[...]``, the first in the precision of the states, the second in double.
    """

    coefficients: str
    coefficient_count: int
    body: str
    constants: tuple[float, ...]


def c_function(
    program: Program, inputs: Mapping[str, str], shared: frozenset[str], outputs: list[str], single: bool
) -> CFunction:
    """Return a program in C.

    Arguments:
        program: The program.
        inputs: C expressions of the inputs by name.
        shared: Names of the inputs that are the same for all paths; what depends on them alone is computed once for
            all, in double.
        outputs: C expressions that the results are assigned to.
        single: Whether states are float and not double.

    Returns:
        The statements; numbers stay out of them, so that one compiled kernel serves all parameters.
    """
    writer = _Writer(program, inputs, shared, single)
    for place in program.needed():
        writer.write(place)
    results = [f"{target} = {writer.lane(place)};" for target, place in zip(outputs, program.outputs, strict=True)]
    return CFunction(
        coefficients="\n".join(writer.uniform_lines),
        coefficient_count=len(writer.handed),
        body="\n".join([*writer.given_lines, *writer.lane_lines, *results]),
        constants=tuple(writer.constants),
    )


class _Writer:
    def __init__(self, program: Program, inputs: Mapping[str, str], shared: frozenset[str], single: bool) -> None:
        self.program, self.inputs, self.shared = program, inputs, shared
        self.suffix = "f" if single else ""
        self.constants: list[float] = []
        self.uniform_lines: list[str] = []
        self.lane_lines: list[str] = []
        self.handed: dict[int, int] = {}
        # What lanes have in common is read before any choice between values: compilers do not take a loop in vectors in
        # which one lane makes a load and the next does not.
        self.given_lines: dict[str, None] = {}
        self._numbers: dict[int, int] = {}
        self._uniform: set[int] = set()

    def write(self, place: int) -> None:
        """Write the statement of one operation, if it needs one."""
        node = self.program.nodes[place]
        if node.operation == CONSTANT:
            self._numbers[place] = len(self.constants)
            self.constants.append(node.value)
        elif node.operation == INPUT:
            if node.name in self.shared:
                self._uniform.add(place)
                self.uniform_lines.append(f"const double s{place} = {self.inputs[node.name]};")
            else:
                self.lane_lines.append(f"const real v{place} = {self.inputs[node.name]};")
        elif all(a in self._uniform or self.program.is_constant(a) for a in node.arguments):
            self._uniform.add(place)
            text = self._expression(place, self._single, "")
            self.uniform_lines.append(f"const {self._type(place, 'double')} s{place} = {text};")
        else:
            text = self._expression(place, self.lane, self.suffix)
            self.lane_lines.append(f"const {self._type(place, 'real')} v{place} = {text};")

    def lane(self, place: int) -> str:
        """Return a result as the statements of one path name it."""
        if self.program.is_constant(place):
            return self._given("c", self._numbers[place])
        if place in self._uniform:
            if place not in self.handed:
                self.handed[place] = len(self.handed)
                self.uniform_lines.append(f"u[{self.handed[place]}] = (real)s{place};")
            return self._given("u", self.handed[place])
        return f"v{place}"

    def _given(self, table: str, number: int) -> str:
        self.given_lines[f"const real {table}{number} = {table}[{number}];"] = None
        return f"{table}{number}"

    def _single(self, place: int) -> str:
        return f"k[{self._numbers[place]}]" if self.program.is_constant(place) else f"s{place}"

    def _type(self, place: int, real: str) -> str:
        return "int" if self.program.is_boolean(place) else real

    def _expression(self, place: int, name: Callable[[int], str], suffix: str) -> str:
        node = self.program.nodes[place]
        truths = TRUTHS.get(node.operation, 0)
        words = [self._truth(a, name) if i < truths else name(a) for i, a in enumerate(node.arguments)]
        return FORMATS[node.operation].format(*words, f=suffix)

    def _truth(self, place: int, name: Callable[[int], str]) -> str:
        return name(place) if self.program.is_boolean(place) else f"({name(place)} != 0)"
