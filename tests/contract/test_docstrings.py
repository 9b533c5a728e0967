"""Every public name says what it is, what it takes and what it returns."""

import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

PACKAGES = ("physcore", "simulations", "analysis")


def modules() -> list[ModuleType]:
    found = []
    for name in PACKAGES:
        package = importlib.import_module(name)
        found += [
            package,
            *(importlib.import_module(m.name) for m in pkgutil.walk_packages(package.__path__, f"{name}.")),
        ]
    return found


def public(module: ModuleType) -> list[str]:
    named = getattr(module, "__all__", None)
    if named is not None:
        return list(named)
    return [
        n for n, v in vars(module).items() if not n.startswith("_") and getattr(v, "__module__", "") == module.__name__
    ]


MODULES = modules()
NAMES = sorted({f"{module.__name__}:{name}" for module in MODULES for name in public(module)})
FACES = [module for module in MODULES if hasattr(module, "__path__")]


def objects() -> dict[str, Any]:
    """Every public class and function once, under the module that defines it."""
    found = {}
    for place in NAMES:
        module, _, name = place.partition(":")
        value = getattr(importlib.import_module(module), name)
        if (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__.split(".")[0] in PACKAGES:
            found[f"{value.__module__}:{value.__qualname__}"] = value
    return found


OBJECTS = objects()
CLASSES = {place: value for place, value in OBJECTS.items() if inspect.isclass(value)}
FUNCTIONS = {place: value for place, value in OBJECTS.items() if inspect.isfunction(value)}


def methods(kind: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, value in vars(kind).items():
        inner = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if not name.startswith("_") and inspect.isfunction(inner) and inner.__module__ == kind.__module__:
            yield name, inner


METHODS = {f"{place}.{name}": method for place, kind in CLASSES.items() for name, method in methods(kind)}


def section(text: str, title: str) -> str | None:
    found = re.search(rf"^{title}:\n((?:[ ]+.*\n?|\n)+)", inspect.cleandoc(text) + "\n", re.MULTILINE)
    return None if found is None else found.group(1)


def described(text: str, title: str) -> set[str]:
    body = section(text, title)
    return set() if body is None else set(re.findall(r"^    (\w+):", body, re.MULTILINE))


def is_protocol(kind: type) -> bool:
    """Return whether a class only says what others have; Python gives it an ``__init__`` that takes nothing."""
    return bool(getattr(kind, "_is_protocol", False))


def parameters(function: Callable[..., Any]) -> set[str]:
    return {name for name in inspect.signature(function).parameters if name not in ("self", "cls")}


def check_docstring(value: Any) -> str:
    """Return a docstring after checking its summary: one capitalised sentence on the first line."""
    text = inspect.cleandoc(value.__doc__ or "")
    summary = text.split("\n")[0]
    assert summary, "has no docstring"
    assert summary[0].isupper() or summary.startswith(("physcore", "`")), f"summary starts in lower case: {summary!r}"
    assert summary.endswith((".", ":")) or text.split("\n\n")[0].endswith("."), f"summary is no sentence: {summary!r}"
    return text


def check_arguments(function: Callable[..., Any], text: str) -> None:
    """Arguments, where they are listed, are those of the signature, all of them."""
    wanted, given = parameters(function), described(text, "Arguments")
    assert given == wanted, f"signature has {sorted(wanted)}, docstring describes {sorted(given)}"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_module_has_a_docstring(module: ModuleType) -> None:
    check_docstring(module)


@pytest.mark.parametrize("face", [m for m in FACES if getattr(m, "__all__", None)], ids=lambda face: face.__name__)
def test_every_name_of_a_face_can_be_had(face: ModuleType) -> None:
    for name in face.__all__:
        assert getattr(face, name) is not None
        assert name in dir(face)


@pytest.mark.parametrize("place", CLASSES)
def test_every_public_class_has_a_docstring_that_describes_what_it_is_made_of(place: str) -> None:
    kind = CLASSES[place]
    text = check_docstring(kind)
    if dataclasses.is_dataclass(kind):
        wanted = {field.name for field in dataclasses.fields(kind) if field.init}
    elif "__init__" in vars(kind) and not is_protocol(kind):
        wanted = parameters(kind.__init__)
    else:
        return
    if len(wanted) > 0 and not issubclass(kind, BaseException):
        given = described(text, "Arguments") | described(text, "Attributes")
        assert wanted <= given, f"{sorted(wanted - given)} are not described"


@pytest.mark.parametrize("place", FUNCTIONS)
def test_every_public_function_has_a_docstring(place: str) -> None:
    text = check_docstring(FUNCTIONS[place])
    if section(text, "Arguments") is not None:
        check_arguments(FUNCTIONS[place], text)


@pytest.mark.parametrize("place", METHODS)
def test_every_public_method_has_a_docstring(place: str) -> None:
    text = check_docstring(METHODS[place])
    if section(text, "Arguments") is not None:
        check_arguments(METHODS[place], text)


@pytest.mark.parametrize("face", PACKAGES)
def test_what_a_face_hands_on_is_described_in_full(face: str) -> None:
    package = importlib.import_module(face)
    for name in package.__all__:
        value = getattr(package, name)
        if inspect.isfunction(value):
            text = check_docstring(value)
            if parameters(value):
                check_arguments(value, text)
            if inspect.signature(value).return_annotation not in (None, "None"):
                assert section(text, "Returns") or text.startswith("Return "), (
                    f"{face}.{name} does not say what it returns"
                )


def test_the_check_of_docstrings_can_fail() -> None:
    def undocumented(first: int) -> int:
        return first

    def forgetful(first: int, second: int) -> int:
        """Return the sum.

        Arguments:
            first: A number.
        """
        return first + second

    with pytest.raises(AssertionError, match="no docstring"):
        check_docstring(undocumented)
    with pytest.raises(AssertionError, match="second"):
        check_arguments(forgetful, check_docstring(forgetful))
