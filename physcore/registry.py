"""Parts by name: processes, references, objectives and commands are found through entry points.

A package of the user's adds a part by declaring an entry point in one of the groups below, without touching ours.
Only registered names can be built from a configuration file; nothing is imported by a name that a file gives.
A part may have parts as parameters: a class with an attribute ``group``, the entry point group of its kind, is given in
a configuration as a mapping, ``{name: double-well, barrier: 2.0}``, or by its name alone; several are given as a list.
"""

import dataclasses
import difflib
import functools
import importlib.metadata
import inspect
import typing
from collections.abc import Mapping
from typing import Any

from physcore.plain_values import typed

__all__ = ["NAMED", "build", "load", "mappings", "name_and_parameters", "name_of", "names", "plain"]

NAMED = "names of"  # key of the metadata of a field that takes registered names: their group
GROUPS = (
    "physcore.bijections",
    "physcore.commands",
    "physcore.diffusion_matrices",
    "physcore.kernels",
    "physcore.lags",
    "physcore.models",
    "physcore.networks",
    "physcore.objectives",
    "physcore.potentials",
    "physcore.processes",
    "physcore.quantities",
    "physcore.references",
    "physcore.schemes",
    "physcore.scores",
    "physcore.slicings",
    "physcore.sources",
    "physcore.study_figures",
    "physcore.weightings",
)


@functools.cache
def _entries(group: str) -> tuple[importlib.metadata.EntryPoint, ...]:
    return tuple(importlib.metadata.entry_points(group=group))


def names(group: str) -> list[str]:
    """Return the registered names of a group, sorted."""
    return sorted({entry.name for entry in _entries(group)})


def suggestion(name: str, known: list[str]) -> str:
    """Return a clause that lists the known names, the nearest first when one is near."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? Known" if near else "known"
    return f"{hint} are {', '.join(known)}." if known else "none are known."


def load(group: str, name: str) -> Any:
    """Return what is registered under a name.

    Arguments:
        group: One of the entry point groups, such as ``"physcore.processes"``.
        name: The registered name.

    Raises:
        ValueError: If the name is unknown; the message lists the known ones.
    """
    found = [entry for entry in _entries(group) if entry.name == name]
    if not found:
        kind = group.rpartition(".")[2]
        raise ValueError(f"unknown name {name!r} among {kind}: {suggestion(name, names(group))}")
    return found[0].load()


def name_of(part: type) -> str | None:
    """Return the name under which a class is registered, None if it is not."""
    place = f"{part.__module__}:{part.__qualname__}"
    for group in GROUPS:
        for entry in _entries(group):
            if entry.value == place:
                return entry.name
    return None


def build(group: str, name: str, parameters: Mapping[str, Any], *leading: Any) -> Any:
    """Build a registered part from plain parameters, checked against the types of its constructor.

    Arguments:
        group: Entry point group.
        name: Registered name.
        parameters: Values by parameter name.
        leading: Positional arguments that come first, such as the process of a reference.

    Raises:
        ValueError: If the name or a parameter is unknown, one without a default is missing, or a value has the wrong
            type or range.
    """
    part = load(group, name)
    signature = dict(list(inspect.signature(part).parameters.items())[len(leading) :])
    known = list(signature)
    hints = typing.get_type_hints(part.__init__)
    for key in parameters:
        if key not in known:
            raise ValueError(f"unknown parameter {key!r} of {name!r}: {suggestion(key, known)}")
    missing = [key for key in known if signature[key].default is inspect.Parameter.empty and key not in parameters]
    if missing:
        raise ValueError(f"{name!r} must be given {', '.join(f'`{key}`' for key in missing)}.")
    try:
        return part(*leading, **{key: _given(key, value, hints.get(key, Any)) for key, value in parameters.items()})
    except ValueError as error:
        raise type(error)(f"{name}: {error}") from error


def name_and_parameters(spec: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name of a part and its parameters.

    Arguments:
        spec: A mapping of the ``name`` and the parameters, or the name alone.
    """
    if isinstance(spec, str):
        return spec, {}
    return spec["name"], {key: value for key, value in spec.items() if key != "name"}


def mappings(spec: Any) -> Any:
    """Return parts that may be given by their names alone as mappings, so that one setting is written one way.

    Arguments:
        spec: A mapping or a name, or a list of such; anything else is returned as it is.
    """
    if isinstance(spec, list):
        return [mappings(entry) for entry in spec]
    return {"name": spec} if isinstance(spec, str) else spec


def plain(value: Any) -> Any:
    """Return a parameter as plain values: a part as the mapping it is built from, anything else as it is.

    Arguments:
        value: Plain values, or a part whose class has a ``group``, or another dataclass, or a tuple of such. A part
            that has a mapping of ``parameters`` is what this says.
    """
    if isinstance(value, tuple) and any(dataclasses.is_dataclass(entry) or _is_part(type(entry)) for entry in value):
        return [plain(entry) for entry in value]
    parameters = getattr(value, "parameters", None) if _is_part(type(value)) else None
    if not isinstance(parameters, dict):
        if not dataclasses.is_dataclass(value) and not _is_part(type(value)):
            return value
        fields = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
        parameters = {field.name: plain(getattr(value, field.name)) for field in fields}
    name = {"name": name_of(type(value)) or type(value).__qualname__} if _is_part(type(value)) else {}
    return name | parameters


def _is_part(kind: Any) -> bool:
    return isinstance(getattr(kind, "group", None), str)


def _given(key: str, value: Any, hint: Any) -> Any:
    """Return a parameter as its hint has it; where this may be a part, built from its mapping or its name."""
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is tuple and _is_part(inner[0]):
        if not isinstance(value, list | tuple):
            raise ValueError(f"`{key}` must be a list of mappings, each with a `name`; got {value!r}.")
        return tuple(_given(f"{key}[{place}]", entry, inner[0]) for place, entry in enumerate(value))
    parts = [part for part in typing.get_args(hint) or (hint,) if _is_part(part)]
    if not parts or (len(parts) < len(typing.get_args(hint)) and not isinstance(value, str | dict)):
        return typed(key, value, hint)
    part = parts[0]
    if isinstance(value, part):
        return value
    named = {"name": value} if isinstance(value, str) else value
    if not isinstance(named, dict) or not isinstance(named.get("name"), str):
        known = ", ".join(names(part.group))
        raise ValueError(f"`{key}` must be a mapping with a `name`, one of {known}; got {value!r}.")
    built = build(part.group, named["name"], {name: entry for name, entry in named.items() if name != "name"})
    if not isinstance(built, part):
        raise ValueError(f"`{key}` must be a {part.__name__}; got {built!r}.")
    return built
