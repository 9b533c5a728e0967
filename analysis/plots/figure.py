"""Making and saving a figure without touching matplotlib's global state."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from physcore.storage.publishing import publish

__all__ = ["DOUBLE_COLUMN", "SINGLE_COLUMN", "above_least", "legend_above", "save_figure", "styled", "whole_decades"]

SINGLE_COLUMN = 3.4
DOUBLE_COLUMN = 7.0
FEWEST_POINTS = 2  # of a curve
LEGEND_CHARACTERS = 56  # of a legend that fit side by side in one column
LEGEND_HANDLE = 6  # characters as wide as a handle and the space around it


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Draw in the package's style for the time of the block."""
    with matplotlib.style.context(Path(__file__).with_name("physcore.mplstyle")):
        yield


def whole_decades(axes: Axes) -> None:
    """Let a logarithmic vertical axis begin and end at powers of ten, which alone are labelled."""
    low, high = np.log10(axes.get_ylim())
    axes.set_ylim(10.0 ** np.floor(low), 10.0 ** np.ceil(high))
    axes.yaxis.set_minor_formatter(NullFormatter())


def above_least(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much losses stand above their least, NaN where they do not; all NaN where too few do for a curve.

    Arguments:
        losses: Losses, shape ``(step,)``.
    """
    excess = np.where(losses > losses.min(), losses - losses.min(), np.nan)
    return excess if np.isfinite(excess).sum() >= FEWEST_POINTS else np.full_like(excess, np.nan)


def legend_above(figure: Figure, title: str | None = None) -> Legend:
    """Put the labels of all panels, each once, above a figure of one column, in as many rows as they need.

    Arguments:
        figure: The figure.
        title: A line over them.
    """
    entries = {text: line for axes in figure.axes for line, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    longest = max(map(len, entries), default=1)
    most = max(1, LEGEND_CHARACTERS // (longest + LEGEND_HANDLE))
    columns = len(entries) if sum(len(text) + LEGEND_HANDLE for text in entries) <= LEGEND_CHARACTERS else most
    return figure.legend(
        list(entries.values()),
        list(entries),
        loc="outside upper left",
        ncols=columns,
        title=title,
        title_fontsize=8,
        alignment="left",
        columnspacing=0.8,
        handlelength=1.4,
        handletextpad=0.4,
    )


def save_figure(figure: Figure, path: Path) -> None:
    """Publish a figure as PNG.

    Arguments:
        figure: The figure.
        path: File name; its folder is made when missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with styled():
        publish(path, lambda temporary: figure.savefig(temporary, format="png"))
