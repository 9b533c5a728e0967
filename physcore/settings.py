"""The options of the commands: typed, checked, and the same on the command line, in YAML and in Python.

A configuration has a few settings that all commands share and one section for each command, a dataclass whose fields
are the arguments of the Python function of that name. A command's own fields are given flat on its command line,
``physcore simulate NAME --paths 100``; ``run``, which has them all, prefixes them, ``--simulate.paths 100``.
"""

import argparse
import dataclasses
import difflib
import itertools
import re
import textwrap
import typing
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

import jsonargparse
import yaml

from physcore.configuration import parse_yaml
from physcore.plain_values import typed
from physcore.registry import NAMED, mappings, names, suggestion

__all__ = ["OptionParser", "Settings", "Shared"]


PRINT_CONFIG = "--print_config"
FLAGS = ("print_config", "debug", "verbose", "overwrite")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shared:
    """Settings that every command has.

    Arguments:
        process: Registered name of the process.
        parameters: Parameters of the process by name.
        seed: Seed of all random numbers, 0 <= seed < 2^64; drawn and stored when null.
        out: Run directory; when null the one that was named, else ``runs/`` and the name of the process or the file.
        device: auto, cpu, cuda or cuda:N.
        threads: Threads a rank computes with.
    """

    process: str | None = dataclasses.field(default=None, metadata={NAMED: "physcore.processes"})
    parameters: dict[str, Any] = dataclasses.field(default_factory=dict)
    seed: int | None = None
    out: str | None = None
    device: str = "auto"
    threads: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.threads <= 1024:
            raise ValueError(f"`threads` must be between 1 and 1024; got {self.threads}.")
        if self.seed is not None and not 0 <= self.seed < 2**64:
            raise ValueError(f"`seed` must be at least 0 and below 2^64; got {self.seed}.")
        if self.out is not None and (not self.out.strip() or "\0" in self.out):
            raise ValueError(f"`out` must name a directory; got {self.out!r}.")


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of one command line.

    Arguments:
        shared: What every command has.
        overwrite: Whether the run directory's content may be replaced; said on the command line alone.
        sections: The section of each command, by its name.
        flags: Flags of the command that were given, on the command line alone.
    """

    shared: Shared
    overwrite: bool
    sections: dict[str, Any]
    flags: frozenset[str] = frozenset()

    def yaml(self) -> str:
        """Return a configuration file that stands for these settings."""
        plain = dataclasses.asdict(self.shared) | {
            name: dataclasses.asdict(section) for name, section in self.sections.items()
        }
        return yaml.safe_dump(_listed(plain), sort_keys=False, allow_unicode=True)


class HelpFormatter(jsonargparse.DefaultHelpFormatter):
    """Formats the help without a break in a name."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)


class OptionParser:
    """Reads the settings of one command.

    Arguments:
        command: Name of the command.
        description: What it does, for its help.
        target: What its one positional argument means, for its help.
        sections: Dataclass of each section by name; a single section that bears the command's name is given flat.
        flags: Flags of the command's own, what each does by its name.
    """

    def __init__(
        self,
        command: str,
        description: str,
        target: str,
        sections: Mapping[str, type],
        flags: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        jsonargparse.set_loader("strict", parse_yaml, exceptions=(ValueError,))
        self.sections = sections
        self.flags = flags
        self._hints = _hints(Shared)
        self._flat = command if list(sections) == [command] else None
        self._parser = jsonargparse.ArgumentParser(
            prog=f"physcore {command}",
            description=description,
            exit_on_error=False,
            parser_mode="strict",
            allow_abbrev=False,
            formatter_class=HelpFormatter,
        )
        self._parser.add_argument("target", help=target)
        self._parser.add_argument(PRINT_CONFIG, action="store_true", help="Print the settings as YAML and stop.")
        self._parser.add_argument("--debug", action="store_true", help="Show the traceback of an error.")
        self._parser.add_argument("--verbose", action="store_true", help="Say how things are computed.")
        self._parser.add_argument(
            "--overwrite", action="store_true", help="Replace what the run directory holds, once the new is whole."
        )
        for name, does in flags.items():
            self._parser.add_argument(f"--{name}", action="store_true", help=does)
        self._parser.add_class_arguments(Shared, as_group=False)
        for name, section in sections.items():
            self._parser.add_class_arguments(section, None if name == self._flat else name)
            self._hints |= _hints(section, "" if name == self._flat else f"{name}.")
        self._complete_help()

    def target(self, arguments: Sequence[str]) -> str:
        """Return the positional argument."""
        target: str = self._parse(arguments).target
        return target

    def settings(self, arguments: Sequence[str], base: Mapping[str, Any]) -> Settings:
        """Return the settings: defaults, then a configuration, then the command line.

        Of several sections only those are kept that the configuration or the command line has.

        Arguments:
            arguments: Words of the command line after the command.
            base: A configuration; sections of other commands are passed over.

        Raises:
            ValueError: If a key is unknown or a value has the wrong type or range; it is named.
        """
        self._parser.set_defaults(self._checked(base))
        parsed = self._parse(arguments).as_dict()
        shared = Shared(**{field.name: parsed[field.name] for field in dataclasses.fields(Shared)})
        named = {_underscored(word)[2:].partition("=")[0].partition(".")[0] for word in arguments if word[:2] == "--"}
        sections = {}
        for name, section in self.sections.items():
            if name == self._flat:
                sections[name] = _instantiate(section, parsed)
            elif name in base or name in named:
                sections[name] = _instantiate(section, parsed[name])
        return Settings(shared, parsed["overwrite"], sections, frozenset(name for name in self.flags if parsed[name]))

    def prints_config(self, arguments: Sequence[str]) -> bool:
        """Return whether only the settings are to be printed."""
        return PRINT_CONFIG in map(_underscored, arguments)

    def _parse(self, arguments: Sequence[str]) -> jsonargparse.Namespace:
        # jsonargparse keeps the name for an action of its own, so the flag is declared for the help alone.
        words = [word for word in map(_underscored, arguments) if word != PRINT_CONFIG]
        self._check_words(words)
        try:
            return self._parser.parse_args(words)
        except jsonargparse.ArgumentError as error:
            raise ValueError(self._explained(" ".join(str(error).split()))) from error

    def _complete_help(self) -> None:
        """Add the names that an option may have to its help, and write it as text of a terminal and values of YAML."""
        groups = _groups(Shared)
        for name, section in self.sections.items():
            groups |= _groups(section, "" if name == self._flat else f"{name}.")
        for action in self._parser._actions:
            if action.help and action.help != argparse.SUPPRESS:
                text = re.sub(r"\bNone\b", "null", action.help.replace("``", ""))
                known = f" Known: {', '.join(names(groups[action.dest]))}." if action.dest in groups else ""
                action.help = f"{text}{known}"

    def _explained(self, message: str) -> str:
        """Return what the parser says, for an unknown option with the nearest ones."""
        unknown = re.match(r"unrecognized arguments: --([^\s=]+)", message, re.IGNORECASE)
        if unknown is None:
            return message
        near = difflib.get_close_matches(unknown[1], [*self._hints, *self.flags, *FLAGS])
        hint = f"did you mean {' or '.join(f'--{name}' for name in near)}? " if near else ""
        return f"unknown option --{unknown[1]}: {hint}See --help for all."

    def _check_words(self, words: Sequence[str]) -> None:
        """Refuse values that strict YAML reads otherwise than the parser's own YAML 1.1: ``12:30:00``, ``010``."""
        for word, following in itertools.pairwise([*words, "--"]):
            name, equals, value = word.removeprefix("--").partition("=")
            if not equals and following.startswith("--"):
                continue
            text, hint = value if equals else following, self._hints.get(name, str)
            if word.startswith("--") and hint not in (str, str | None):
                typed(name, parse_yaml(text), hint)

    def _checked(self, base: Mapping[str, Any]) -> dict[str, Any]:
        """Return a configuration as defaults of the parser, every key known and every value of its type."""
        shared = [field.name for field in dataclasses.fields(Shared)]
        commands = names("physcore.commands")
        values: dict[str, Any] = {}
        for key, value in base.items():
            if key in self.sections:
                prefix = "" if key == self._flat else f"{key}."
                values |= {prefix + inner: v for inner, v in _section(key, self.sections[key], value).items()}
            elif key in shared:
                values[key] = value
            elif key not in commands:
                raise ValueError(f"unknown key {key!r}: {suggestion(key, [*shared, *self.sections])}")
        flat = dict(item for key, value in values.items() for item in _flattened(key, value, self._hints))
        for key in flat:
            if key not in self._hints:
                raise ValueError(f"unknown key {key!r}: {suggestion(key, list(self._hints))}")
        return {key: typed(key, value, self._hints[key]) for key, value in flat.items()}


def _hints(section: type, prefix: str = "") -> dict[str, Any]:
    """Return the type hint of each option of a section by its full name, those of sections inside it included."""
    hints: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(section).items():
        if dataclasses.is_dataclass(hint):
            hints |= _hints(cast(type, hint), f"{prefix}{name}.")
        else:
            hints[prefix + name] = hint
    return hints


def _groups(section: type, prefix: str = "") -> dict[str, str]:
    """Return the entry point group of each option of a section that takes registered names, by its full name."""
    groups: dict[str, str] = {}
    for field in dataclasses.fields(section):
        if isinstance(field.type, type) and dataclasses.is_dataclass(field.type):
            groups |= _groups(field.type, f"{prefix}{field.name}.")
        elif NAMED in field.metadata:
            groups[prefix + field.name] = field.metadata[NAMED]
    return groups


def _flattened(key: str, value: Any, hints: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return options by full name, opening mappings that stand for sections inside a section."""
    if key in hints or not isinstance(value, dict):
        return [(key, value)]
    return [item for inner, entry in value.items() for item in _flattened(f"{key}.{inner}", entry, hints)]


def _section(name: str, section: type, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"section {name!r} must be a mapping; got {value!r}")
    known = [field.name for field in dataclasses.fields(section)]
    for key in value:
        if key not in known:
            raise ValueError(f"unknown key {key!r} in section {name!r}: {suggestion(key, known)}")
    return value


def _instantiate(section: type, values: Mapping[str, Any]) -> Any:
    """Build a section, and the sections inside it, from parsed values."""
    arguments = {}
    for field in dataclasses.fields(section):
        value, kind = values[field.name], field.type
        nested = isinstance(kind, type) and dataclasses.is_dataclass(kind) and isinstance(value, dict)
        if NAMED in field.metadata and kind is not str:
            value = mappings(value)
        arguments[field.name] = _instantiate(cast(type, kind), value) if nested else value
    return section(**arguments)


def _underscored(word: str) -> str:
    """Return an option with underscores for the dashes inside its name, so that both may be written."""
    if not word.startswith("--"):
        return word
    name, equals, value = word[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"


def _listed(value: Any) -> Any:
    """Return plain values with tuples as lists, as YAML knows them."""
    if isinstance(value, dict):
        return {key: _listed(inner) for key, inner in value.items()}
    return [_listed(inner) for inner in value] if isinstance(value, list | tuple) else value
