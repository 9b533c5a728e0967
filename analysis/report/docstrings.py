"""Docstrings as HTML: their Google sections apart, their reStructuredText and its formulas (as MathML) converted."""

import dataclasses
import functools
import inspect
import re
from typing import Any

from docutils.core import publish_parts
from markupsafe import Markup

__all__ = ["Docstring", "converted", "docstring_of", "plain_text"]

TITLES = "Arguments|Args|Attributes|Returns|Yields|Raises|Error|Source|References|Note|Notes|Example|Examples"
TITLE = re.compile(rf"^({TITLES}):[ ]*\n(?=[ ]+\S)", re.MULTILINE)
ENTRY = re.compile(r"^(\w+)(?: \([^)\n]*\))?:[ \n]", re.MULTILINE)
SETTINGS = {
    "_disable_config": True,
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "report_level": 5,  # a slip in a user's docstring is shown as it stands
    "halt_level": 5,
    "doctitle_xform": False,
    "initial_header_level": 4,
    "math_output": "MathML",
    "embed_stylesheet": False,
}


@dataclasses.dataclass(frozen=True)
class Docstring:
    """A docstring in its parts, all of them reStructuredText.

    Arguments:
        summary: The first paragraph.
        body: What follows it, before the sections.
        entries: What ``Arguments`` and ``Attributes`` say of each name.
        sections: The other sections by title.
    """

    summary: str
    body: str
    entries: dict[str, str]
    sections: dict[str, str]


def docstring_of(part: Any) -> Docstring:
    """Return the docstring of a class, a function or a module, in parts; empty ones where it has none.

    Arguments:
        part: A class, a function or a module.
    """
    text = inspect.cleandoc(part.__doc__ or "")
    before, *rest = TITLE.split(text)
    summary, _, body = before.strip().partition("\n\n")
    entries: dict[str, str] = {}
    sections: dict[str, str] = {}
    for title, content in zip(rest[::2], rest[1::2], strict=True):
        dedented = inspect.cleandoc("\n" + content)
        if title in ("Arguments", "Args", "Attributes"):
            names = ENTRY.split(dedented)[1:]
            entries |= {name: inspect.cleandoc(said) for name, said in zip(names[::2], names[1::2], strict=True)}
        else:
            sections[title] = dedented
    return Docstring(summary, body.strip(), entries, sections)


@functools.lru_cache(maxsize=512)
def converted(text: str) -> Markup:
    """Return reStructuredText as HTML; of a single paragraph its content alone.

    Arguments:
        text: reStructuredText. What it would include from a file or hand on raw is left out.
    """
    body = publish_parts(text, writer="html5", settings_overrides=SETTINGS)["body"].strip()
    alone = body.startswith("<p>") and body.endswith("</p>") and body.count("<p>") == 1
    return Markup(body[3:-4] if alone else body)  # noqa: S704 - docutils has escaped it


def plain_text(text: str) -> str:
    """Return reStructuredText of one paragraph as plain text, formulas as their LaTeX.

    Arguments:
        text: reStructuredText.
    """
    return " ".join(re.sub(r":\w+:`([^`]*)`|``([^`]*)``", r"\1\2", text).split())
