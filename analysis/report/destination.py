"""Where the page of a run may go: a name in its directory that is free, or holds an earlier page of the same run."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from physcore.storage.manifest import Manifest

__all__ = ["REPORT_NAME", "check_replaceable", "check_report_name", "mark"]

REPORT_NAME = "report.html"
HEAD_BYTES = 4096


def mark(manifest: "Manifest") -> Markup:
    """Return the element by which a page tells whose it is: process, seed and first moment of the run.

    Arguments:
        manifest: Manifest of the run.
    """
    run = f"{manifest.process} {manifest.seed} {manifest.created_at}"
    return Markup('<meta name="physcore-run" content="{}">').format(run)


def check_report_name(file: str) -> None:
    """Refuse what is not the name of a page.

    Arguments:
        file: The name.

    Raises:
        ValueError: If it names a folder too, is hidden, or does not end in ``.html``.
    """
    if not re.fullmatch(r"[^/\\\0.][^/\\\0]*\.html", file):
        raise ValueError(f"`file` must be a name that ends in .html, without a folder; got {file!r}.")


def check_replaceable(path: Path, manifest: "Manifest") -> None:
    """Refuse to write over what is no page of a run.

    Arguments:
        path: Where the page is to go.
        manifest: Manifest of the run.

    Raises:
        ValueError: If something else is there.
    """
    if not path.is_symlink() and not path.exists():
        return
    if path.is_file() and not path.is_symlink():
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES).decode("utf-8", "replace")
        if mark(manifest) in head:
            return
    raise ValueError(f"{path} is there and is no report of this run; move it, or choose another name by `file`.")
