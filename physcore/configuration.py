"""Configuration files: YAML that means what it seems to, read strictly, and the defaults of a process.

Numbers are numbers (also ``1e-3``); only ``true`` and ``false`` are booleans; a key given twice, an unknown key, a tag
that names code, or a file that is no UTF-8 mapping is refused. The default run of a process lies beside its module,
under the same name with ``.yaml``.
"""

import importlib.metadata
import importlib.util
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from physcore.registry import names, suggestion

__all__ = ["STAGES", "completed_run", "default_run", "merged", "nested", "parse_yaml", "read_yaml", "target_run"]

STAGES = ("simulate", "fit", "compare")

LARGEST_FILE = 1_000_000
DEEPEST_NESTING = 32


class StrictLoader(yaml.SafeLoader):
    """A safe loader without aliases, duplicate keys, sexagesimal numbers and words that turn into booleans."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as the base class has it
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose a node, refusing aliases and too deep nesting."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        self.depth += 1
        if self.depth > DEEPEST_NESTING:
            raise yaml.YAMLError(f"nested deeper than {DEEPEST_NESTING} levels")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Construct a mapping, refusing a key that stands twice."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.YAMLError(f"key {key!r} on line {key_node.start_mark.line + 1} is not a string")
            if key in seen:
                raise yaml.YAMLError(f"key {key!r} stands twice, again on line {key_node.start_mark.line + 1}")
            seen.add(key)
        return super().construct_mapping(node, deep)


FLOAT = re.compile(
    r"[-+]?(\d[\d_]*\.?\d*([eE][-+]?\d+)|\d[\d_]*\.\d*|\.\d+([eE][-+]?\d+)?)$|[-+]?\.(inf|Inf)$|\.(nan|NaN)$"
)
StrictLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(null|~|)$"), ["n", "~", ""])
StrictLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(true|false)$"), ["t", "f"])
StrictLoader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?(0|[1-9]\d*)$"), list("-+0123456789"))
StrictLoader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))


def parse_yaml(text: str) -> Any:
    """Return the value that a YAML text stands for.

    Raises:
        ValueError: If the text is not strict YAML; the line is named.
    """
    try:
        return yaml.load(text, Loader=StrictLoader)  # noqa: S506 - a safe loader of our own
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from error


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Raises:
        ValueError: If the file is missing, too large, no UTF-8 or no strict mapping.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such configuration file")
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{path}: larger than a configuration can be ({LARGEST_FILE} bytes)")
    try:
        content = parse_yaml(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: must hold a mapping of settings; it holds {type(content).__name__}")
    return content


def default_run(process: str) -> dict[str, Any]:
    """Return the default run of a registered process, without importing the process.

    Arguments:
        process: Registered name.

    Raises:
        ValueError: If the name is unknown; the known ones are listed.
    """
    entries = [entry for entry in importlib.metadata.entry_points(group="physcore.processes") if entry.name == process]
    if not entries:
        raise ValueError(f"unknown process {process!r}: {suggestion(process, names('physcore.processes'))}")
    spec = importlib.util.find_spec(entries[0].module)
    beside = None if spec is None or spec.origin is None else Path(spec.origin).with_suffix(".yaml")
    settings = read_yaml(beside) if beside is not None and beside.is_file() else {}
    return {"process": process, **settings}


def target_run(target: str) -> dict[str, Any]:
    """Return the run that a name or a file stands for.

    Arguments:
        target: Registered name of a process, or a YAML file. A file builds on the defaults of its process, and a stage
            that it leaves out while it has others is left out of the run; without a simulation there is none.

    Raises:
        ValueError: If the name is unknown or the file cannot be used.
    """
    if not target.endswith((".yaml", ".yml")):
        if Path(target).is_dir() and target not in names("physcore.processes"):
            raise ValueError(f"{target} is a directory; name a process or a YAML file. `--out {target}` writes to it.")
        return default_run(target)
    return completed_run(read_yaml(Path(target)), target)


def completed_run(settings: dict[str, Any], source: str) -> dict[str, Any]:
    """Return the run that the settings of a file stand for: on top of the defaults of its process.

    Arguments:
        settings: The content of the file; a stage that it leaves out while it has others is left out of the run.
        source: Name of the file, for errors.

    Raises:
        ValueError: If the settings name no process, or an unknown one.
    """
    if not isinstance(settings.get("process"), str):
        raise ValueError(f"{source}: the key `process` must name a process: {', '.join(names('physcore.processes'))}")
    default, stages = default_run(settings["process"]), set(STAGES)
    if stages & settings.keys():
        default = {key: value for key, value in default.items() if key not in stages - {"simulate", *settings}}
    return merged(default, settings)


def nested(key: str, value: Any) -> dict[str, Any]:
    """Return the configuration that sets one key, ``fit.objective.lag``, and no other."""
    for part in reversed(key.split(".")):
        value = {part: value}
    configuration: dict[str, Any] = value
    return configuration


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the values of ``over``; mappings are merged, unless they name different parts.

    A name in the place of a part means the part of that name.
    """
    result = dict(base)
    for key, given in over.items():
        old = base.get(key)
        value = {"name": given} if isinstance(given, str) and isinstance(old, dict) and "name" in old else given
        if isinstance(old, dict) and isinstance(value, dict) and old.get("name") == value.get("name", old.get("name")):
            result[key] = merged(old, value)
        else:
            result[key] = value
    return result
