"""Plain values, as YAML and JSON hold them, checked against the type hints of what they are given to."""

import dataclasses
import types
import typing
from collections.abc import Sequence
from typing import Any

__all__ = ["typed"]

NAMES = {int: "an integer", float: "a number", str: "text", bool: "true or false", types.NoneType: "null"}


def typed(name: str, value: Any, hint: Any) -> Any:
    """Return a plain value as its hint has it: integers as floats, lists as tuples, where these are asked for.

    Arguments:
        name: What the value is for, for the error.
        value: Numbers, text, booleans, None, and lists and mappings of them.
        hint: Type hint, made of these types, ``Literal``, ``list``, ``tuple``, ``Sequence``, ``dict``, unions, ``Any``
            and dataclasses, which are given as a mapping of their fields.

    Raises:
        ValueError: If the value does not fit.
    """
    try:
        return _fitted(value, hint)
    except TypeError:
        raise ValueError(f"`{name}` must be {described(hint)}; got {value!r}.") from None


def described(hint: Any) -> str:
    """Return a type hint in words."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, inner))}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(described(part) for part in inner)
    if origin in (list, tuple, Sequence):
        return f"a list, each entry {described(inner[0])}"
    if dataclasses.is_dataclass(hint):
        return f"a mapping of {', '.join(field.name for field in dataclasses.fields(hint))}"
    if origin is dict:
        return "a mapping" if inner[1] is Any else f"a mapping by name, each entry {described(inner[1])}"
    return NAMES.get(hint, "what cannot be written as plain text")


def _fitted(value: Any, hint: Any) -> Any:
    if hint is Any:
        return value
    inner = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return _first_fit(value, inner)
    if typing.get_origin(hint) is typing.Literal:
        return _required(value, value in inner)
    if dataclasses.is_dataclass(hint):
        return _record(value, hint)
    return _container(value, typing.get_origin(hint), inner) if inner else _scalar(value, hint)


def _record(value: Any, kind: Any) -> Any:
    if isinstance(value, kind):
        return value
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    needed = {name for name, field in fields.items() if field.default is field.default_factory is dataclasses.MISSING}
    _required(value, isinstance(value, dict) and needed <= value.keys() <= fields.keys())
    return kind(**{name: _fitted(entry, hints[name]) for name, entry in value.items()})


def _scalar(value: Any, hint: Any) -> Any:
    kinds = (int, float) if hint is float else hint
    # A boolean is an integer to Python and to nobody else.
    fits = hint in NAMES and isinstance(value, kinds) and (hint is bool or not isinstance(value, bool))
    return float(_required(value, fits)) if hint is float else _required(value, fits)


def _container(value: Any, kind: Any, inner: tuple[Any, ...]) -> Any:
    if kind is dict:
        return {key: _fitted(entry, inner[1]) for key, entry in _required(value, isinstance(value, dict)).items()}
    if kind is tuple:
        return _tuple(value, inner)
    fits = kind in (list, Sequence) and isinstance(value, list | tuple)
    return [_fitted(entry, inner[0]) for entry in _required(value, fits)]


def _first_fit(value: Any, hints: tuple[Any, ...]) -> Any:
    for hint in hints:
        try:
            return _fitted(value, hint)
        except TypeError:
            continue
    raise TypeError


def _tuple(value: Any, hints: tuple[Any, ...]) -> tuple[Any, ...]:
    entries = _required(value, isinstance(value, list | tuple))
    if hints[-1] is Ellipsis:
        hints = hints[:1] * len(entries)
    _required(value, len(hints) == len(entries))
    return tuple(_fitted(entry, hint) for entry, hint in zip(entries, hints, strict=True))


def _required(value: Any, fits: bool) -> Any:
    if not fits:
        raise TypeError
    return value
