"""Settings as tables: each value with what it means, which the docstring of what it is given to knows."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from markupsafe import Markup

from analysis.report.docstrings import converted, docstring_of
from analysis.report.tables import Table
from physcore.registry import GROUPS, load, names
from physcore.storage.manifest import Manifest

__all__ = ["configuration", "part_of", "settings_table", "written"]

COLUMNS = ("setting", "value", "meaning")
LONGEST = 300  # characters of a value; the configuration has it whole
OTHER_GROUPS = {"online": "physcore.sources"}


def settings_table(caption: str, values: Mapping[str, Any], owner: Any) -> Table:
    """Return a table of settings.

    Arguments:
        caption: What is set.
        values: Values by name. Sections and parts among them are opened.
        owner: The class that takes them, None if it is not known here; nothing is said of their meaning then.
    """
    rows = [(key, (value, meaning)) for key, value, meaning in _opened(values, owner, "")]
    return Table(caption=caption, columns=COLUMNS, rows=rows)


def _opened(values: Mapping[str, Any], owner: Any, prefix: str) -> Iterator[tuple[str, str, Markup]]:
    meanings = {} if owner is None else docstring_of(owner).entries
    kinds = {field.name: field.type for field in dataclasses.fields(owner)} if dataclasses.is_dataclass(owner) else {}
    for key, value in values.items():
        name, said = f"{prefix}{key}", converted(meanings.get(key, ""))
        parts = [value] if isinstance(value, dict) else value if isinstance(value, list) else []
        if parts and all(isinstance(part, dict) and isinstance(part.get("name"), str) for part in parts):
            for part in parts:
                kind = part_of(key, part["name"])
                yield name, part["name"], said if kind is None else converted(docstring_of(kind).summary)
                inner = {entry: inner for entry, inner in part.items() if entry != "name"}
                yield from _opened(inner, kind, f"{name}.")
        elif isinstance(value, dict) and dataclasses.is_dataclass(kinds.get(key)):
            yield from _opened(value, kinds[key], f"{name}.")
        else:
            yield name, written(value), said


def part_of(key: str, name: str) -> Any:
    """Return the class of a part, None if it is not known here.

    Arguments:
        key: What the part is for, such as ``network``, which tells its entry point group.
        name: Its registered name.
    """
    group = OTHER_GROUPS.get(key, f"physcore.{key.removesuffix('s')}s")
    return load(group, name) if group in GROUPS and name in names(group) else None


def written(value: Any) -> str:
    """Return a plain value as a configuration writes it, shortened where it is very long.

    Arguments:
        value: Numbers, text, booleans, None, and lists and mappings of them.
    """
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def configuration(manifest: Manifest) -> str:
    """Return a configuration that makes the run again, as YAML.

    Arguments:
        manifest: Manifest of the run.
    """
    run: dict[str, Any] = {"process": manifest.process, "parameters": manifest.parameters, "seed": int(manifest.seed)}
    if manifest.blocks:
        run["simulate"] = manifest.simulation
    seeds = {}
    for stage, request in manifest.stages.items():
        run[stage] = {key: value for key, value in request.items() if key != "seed"}
        if str(request.get("seed", manifest.seed)) != manifest.seed:
            seeds[stage] = request["seed"]
    notes = [f"# The stage {stage} had a seed of its own, {seed}." for stage, seed in seeds.items()]
    return "\n".join([*notes, yaml.safe_dump(run, sort_keys=False, allow_unicode=True, default_flow_style=None)])
