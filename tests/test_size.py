"""The house rules on size: small files, small functions, thin faces, and no file for leftovers."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for name in ("physcore", "simulations", "analysis") for path in (ROOT / name).rglob("*.py"))
EVERYTHING = SOURCES + sorted((ROOT / "tests").rglob("*.py"))
LEFTOVERS = {"utils", "util", "common", "helpers", "misc", "tools", "stuff", "base"}


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function without its docstring: many arguments, well described, are no fault."""
    first = function.body[0]
    described = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    docstring = (first.end_lineno or 0) - first.lineno + 1 if described else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def too_long(source: str, limit: int) -> list[str]:
    """Return the functions of a source that are longer than a number of lines."""
    functions = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [f"{function.name}: {lines_of(function)}" for function in functions if lines_of(function) > limit]


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_a_source_is_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    assert not too_long(text, 60)
    if path.name == "__init__.py":
        assert len(text.splitlines()) < 40
        assert not any(isinstance(n, ast.FunctionDef | ast.ClassDef) for n in ast.walk(ast.parse(text)))


@pytest.mark.parametrize("path", EVERYTHING, ids=shown)
def test_no_file_is_named_after_leftovers(path: Path) -> None:
    assert path.stem not in LEFTOVERS
    assert not any(part in LEFTOVERS for part in path.relative_to(ROOT).parts)


def test_tests_have_no_packages() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_there_are_sources_and_a_long_function_is_noticed() -> None:
    assert len(SOURCES) > 50
    assert too_long("def f():\n" + "    x = 1\n" * 60, 60) == ["f: 61"]
    assert not too_long("def f():\n" + "    x = 1\n" * 59, 60)
