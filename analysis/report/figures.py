"""The figures of a run inside the page: as data, small enough, with a caption and words that stand for the picture.

A figure says itself what it shows, by ``Title`` and ``Description`` in its PNG text or ``title`` and ``desc`` in its
SVG. Of one that does not, the plot is found by its file name, and the docstring of the plot speaks.
"""

import base64
import dataclasses
import inspect
import io
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image, UnidentifiedImageError

import analysis.plots
from analysis.plots.figure import styled
from analysis.report.docstrings import converted, docstring_of, plain_text
from physcore.errors import DataFileError

__all__ = ["FIGURE_BYTES", "PAGE_BYTES", "EmbeddedFigure", "drawn", "figures_of"]

FIGURE_BYTES = 1_000_000  # a larger figure is compressed again
PAGE_BYTES = 16_000_000  # of all figures together; those beyond are named alone
WIDEST = 1600  # pixels of a figure that is compressed again
SCREEN_DPI = 96
WIDE = 560  # pixels of the screen from which a figure takes the whole width of the page
KINDS = {".png": "image/png", ".svg": "image/svg+xml"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class EmbeddedFigure:
    """A figure as it stands in the page.

    Arguments:
        name: Its file in the run, or what it was drawn from.
        title: What it shows, in a few words.
        description: How it is read, in a sentence or two.
        source: The data URI; empty of a figure that is named alone.
        width: Width in the page, in pixels of the screen.
        height: Height.
        note: What was done to it.
    """

    name: str
    title: str
    description: Markup | str = ""
    source: str = ""
    width: int = 0
    height: int = 0
    note: str = ""

    @property
    def alternative(self) -> str:
        """The words that stand for the picture."""
        return f"Figure: {self.title}"

    @property
    def wide(self) -> bool:
        """Whether it takes the whole width."""
        return self.width >= WIDE


def figures_of(folder: Path, drawn_already: Sequence[str] = ()) -> list[EmbeddedFigure]:
    """Return the figures of a folder, those of the same plot side by side, all within the limits of size.

    Arguments:
        folder: The folder, which may lack; folders in it are searched as well.
        drawn_already: Stems of files to leave out.

    Raises:
        DataFileError: If a figure cannot be read.
    """
    figures, room = [], PAGE_BYTES
    files = (path for path in folder.rglob("*") if path.suffix.lower() in KINDS and path.name[0] != ".")
    for path in sorted(files, key=lambda path: _order(path.relative_to(folder))):
        if path.stem in drawn_already or not path.is_file():
            continue
        figure = _embedded(path, f"{folder.name}/{path.relative_to(folder).as_posix()}")
        if len(figure.source) > room:
            figure = dataclasses.replace(figure, source="", note="Left out: the figures of the page reach 16 MB.")
        room -= len(figure.source)
        figures.append(figure)
    return figures


def drawn(figure: Figure, plot: Callable[..., Any], name: str) -> EmbeddedFigure:
    """Return a figure that was drawn for the page, as SVG.

    Arguments:
        figure: The figure.
        plot: What drew it; its docstring is the caption.
        name: What it was drawn from.
    """
    content = io.BytesIO()
    with styled(), matplotlib.rc_context({"svg.hashsalt": name}):  # the same bytes from the same numbers
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    width, height = (round(SCREEN_DPI * inches) for inches in figure.get_size_inches())
    title, description = _said_by(plot)
    source = _data(KINDS[".svg"], content.getvalue())
    return EmbeddedFigure(name=name, title=title, description=description, source=source, width=width, height=height)


def _order(path: Path) -> tuple[Any, ...]:
    """Return the place of a figure among the others: by plot and reference, then by time and not by its digits."""
    parts = re.split(r"(\d+(?:\.\d+)?)", path.as_posix())
    return tuple((float(part), "") if i % 2 else (-1.0, part) for i, part in enumerate(parts))


def _embedded(path: Path, name: str) -> EmbeddedFigure:
    try:
        read = _png if path.suffix.lower() == ".png" else _svg
        figure = read(path, name)
    except (OSError, ValueError, UnidentifiedImageError, ElementTree.ParseError, SyntaxError) as error:
        raise DataFileError(f"{path}: cannot be read as {path.suffix[1:].upper()}, damaged? ({error})") from error
    if figure.title:
        return figure
    title, description = _named(path.stem)
    return dataclasses.replace(figure, title=title, description=description)


def _png(path: Path, name: str) -> EmbeddedFigure:
    content, note, kind = path.read_bytes(), "", KINDS[".png"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content), formats=["PNG"])
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        return _without(path, name, str(error).partition(", could")[0])
    with image:
        image.load()
        said = {key: str(image.info.get(key, "")) for key in ("Title", "Description")}
        dpi = image.info.get("dpi", (2 * SCREEN_DPI,))[0]
        width, height = (max(1, round(side * SCREEN_DPI / dpi)) if dpi > 1 else side for side in image.size)
        if len(content) > FIGURE_BYTES:
            content, kind = _smaller(image), "image/webp"
            note = f"Compressed for this page; {name} is the original."
    if len(content) > FIGURE_BYTES:
        return _without(path, name, f"{len(content) / 1e6:.1f} MB when compressed")
    return EmbeddedFigure(
        name=name,
        title=said["Title"],
        description=said["Description"],
        source=_data(kind, content),
        width=width,
        height=height,
        note=note,
    )


def _smaller(image: Image.Image) -> bytes:
    scaled = image.convert("RGBA")
    scaled.thumbnail((WIDEST, WIDEST * 4))
    content = io.BytesIO()
    scaled.save(content, format="WEBP", quality=90)
    return content.getvalue()


def _svg(path: Path, name: str) -> EmbeddedFigure:
    if path.stat().st_size > FIGURE_BYTES:
        return _without(path, name, f"{path.stat().st_size / 1e6:.1f} MB")
    content = path.read_bytes()
    if b"<!ENTITY" in content:
        raise ValueError("it declares entities")
    root = ElementTree.fromstring(content)  # noqa: S314 - no entities are expanded
    if root.tag.rpartition("}")[2] != "svg":
        raise ValueError(f"it is {root.tag}")
    said = {child.tag.rpartition("}")[2]: (child.text or "").strip() for child in root}
    sides = [float(part) for part in root.get("viewBox", "0 0 4 3").replace(",", " ").split()[2:]]
    width, height = (round(side * SCREEN_DPI / 72) for side in sides)  # matplotlib's unit is the point
    return EmbeddedFigure(
        name=name,
        title=said.get("title", ""),
        description=said.get("desc", ""),
        source=_data(KINDS[".svg"], content),
        width=width,
        height=height,
    )


def _without(path: Path, name: str, size: str) -> EmbeddedFigure:
    return EmbeddedFigure(name=name, title=_named(path.stem)[0], note=f"Left out: too large for a page ({size}).")


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _named(stem: str) -> tuple[str, Markup | str]:
    """Return title and description of a figure by the plot that its file name begins like."""
    words = stem.split("_")
    best, common = "", 0
    for plot in vars(analysis.plots)["__all__"]:
        shared = _shared(words, plot.removeprefix("plot_").split("_")) if plot.startswith("plot_") else 0
        if shared > common:
            best, common = plot, shared
    rest = [re.sub(r"^t(-?\d.*)$", r"t = \1", word) for word in words[common:]]
    if not best:
        return " ".join(words), ""
    title, description = _said_by(getattr(analysis.plots, best))
    return ", ".join([title, *rest]), description


def _shared(words: Sequence[str], others: Sequence[str]) -> int:
    count = 0
    for word, other in zip(words, others, strict=False):
        if word != other:
            break
        count += 1
    return count


def _said_by(plot: Callable[..., Any]) -> tuple[str, Markup]:
    """Return what the docstring of a plot says that it draws, and how that is read."""
    said = docstring_of(inspect.unwrap(plot))
    title = re.sub(r"^Draw ", "", plain_text(said.summary)).rstrip(".")
    description = re.sub(r"^The figure[:.] ", "", said.sections.get("Returns", ""))
    return title[:1].upper() + title[1:], converted(description[:1].upper() + description[1:])
