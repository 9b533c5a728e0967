"""The axes of a study: which settings vary together, and the labels of their values.

An axis is written in one of three ways::

    seed: [1, 2, 3]                                                # a key of the run, by its own name
    size: {fit.model.network.width: [32, 64], fit.training.steps: [2000, 4000]}   # keys that vary together
    method: {plain: {fit.objective: {name: local-denoising}}, implicit: {...}}    # points by label, each its own keys
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["Axis", "Label", "label_text"]

Label = str | int | float

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*$")
TEXT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*$")
# Dimensions of the comparisons that are joined, and what the joined Dataset holds besides.
RESERVED = ("reference", "selection", "time", "component", "path", "particle", "state", "directory", "value")
# What belongs to the study as a whole.
SHARED_KEYS = ("out", "threads")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis of a grid.

    Arguments:
        name: Name of the dimension.
        labels: Label of each point, all numbers or all text.
        points: Settings of each point, values by dotted key.
    """

    name: str
    labels: tuple[Label, ...]
    points: tuple[dict[str, Any], ...]

    def __post_init__(self) -> None:
        if not NAME.match(self.name):
            raise ValueError(
                f"axis {self.name!r} must be a name of letters, digits and underscores; for a key inside a section "
                f"write {self.name.rpartition('.')[2]}: {{{self.name}: [...]}}."
            )
        if self.name in RESERVED:
            hint = " References that are listed in `compare.references` are a dimension already."
            raise ValueError(
                f"axis {self.name!r} has the name of a part of every comparison; give it another one."
                + (hint if self.name == "reference" else "")
            )
        if not self.labels:
            raise ValueError(f"axis {self.name!r} must have one value at least.")
        texts = [label_text(label) for label in self.labels]
        twice = sorted({text for i, text in enumerate(texts) if self.labels[i] in self.labels[:i] or text in texts[:i]})
        if twice:
            raise ValueError(
                f"axis {self.name!r} has {', '.join(twice)} twice; "
                "give each point its own label: {label: {key: value}, ...}."
            )
        for key in self.keys:
            if key in SHARED_KEYS:
                raise ValueError(f"axis {self.name!r} sets `{key}`, which belongs to the study as a whole.")

    @classmethod
    def parsed(cls, name: str, given: Any) -> "Axis":
        """Return the axis that a study's file describes.

        Arguments:
            name: Name of the dimension.
            given: A list of values of the key of that name; lists of values by key; or settings by label.

        Raises:
            ValueError: If it is none of these, labels are missing or stand twice, or lists differ in length.
        """
        if isinstance(given, list):
            given = {name: given}
        if not isinstance(given, dict) or not given:
            raise ValueError(f"axis {name!r} must be a list of values or a mapping; got {given!r}.")
        if all(isinstance(value, dict) for value in given.values()):
            for label, settings in given.items():
                if not settings:
                    raise ValueError(f"point {label!r} of axis {name!r} sets nothing.")
            return cls(name=name, labels=tuple(_valid(name, label) for label in given), points=tuple(given.values()))
        if all(isinstance(value, list) for value in given.values()):
            lengths = {key: len(values) for key, values in given.items()}
            if len(set(lengths.values())) > 1:
                raise ValueError(f"the keys of axis {name!r} must have as many values each; got {lengths}.")
            columns = zip(*given.values(), strict=True)
            points = tuple(dict(zip(given, values, strict=True)) for values in columns)
            first = next(iter(given))
            return cls(name=name, labels=_labels(name, [point[first] for point in points]), points=points)
        raise ValueError(
            f"axis {name!r} must have a list of values for each key or a mapping of keys for each label; got {given!r}."
        )

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that any point sets, in the order of the file."""
        return tuple(dict.fromkeys(key for point in self.points for key in point))

    @property
    def numeric(self) -> bool:
        """Whether the labels are numbers."""
        return not isinstance(self.labels[0], str)


def label_text(label: Label) -> str:
    """Return a label as it stands in the names of directories."""
    return label if isinstance(label, str) else repr(label)


def _labels(axis: str, values: list[Any]) -> tuple[Label, ...]:
    """Return labels for values: numbers and words themselves, parts by their name."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return tuple(values)
    return tuple(_valid(axis, _text(axis, value)) for value in values)


def _text(axis: str, value: Any) -> str:
    if isinstance(value, Mapping) and isinstance(value.get("name"), str):
        return str(value["name"])
    if isinstance(value, dict | list):
        raise ValueError(
            f"axis {axis!r} has the value {value!r}, which needs a label: write {{label: {{key: value}}, ...}}."
        )
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def _valid(axis: str, label: str) -> str:
    """Return a label that can stand in the name of a directory."""
    if not TEXT.match(label):
        raise ValueError(
            f"axis {axis!r} has the label {label!r}; labels are letters, digits, dots, plus and minus signs and "
            "underscores. Write {label: {key: value}, ...}."
        )
    return label
