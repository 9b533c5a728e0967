"""Making and saving a figure without touching matplotlib's global state."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from physcore.storage.publishing import publish

__all__ = ["DOUBLE_COLUMN", "SINGLE_COLUMN", "save_figure", "styled", "whole_decades"]

SINGLE_COLUMN = 3.4
DOUBLE_COLUMN = 7.0


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


def save_figure(figure: Figure, path: Path) -> None:
    """Publish a figure as PNG.

    Arguments:
        figure: The figure.
        path: File name; its folder is made when missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with styled():
        publish(path, lambda temporary: figure.savefig(temporary, format="png"))
