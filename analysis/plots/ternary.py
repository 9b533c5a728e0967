"""Figure: compositions of three parts in the triangle, samples beside data."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from analysis.plots.figure import styled

__all__ = ["plot_ternary"]

PANEL = 2.9  # inches
HEIGHT = math.sqrt(3) / 2
LINES = (0.2, 0.4, 0.6, 0.8)
MOST_POINTS = 3000
# Where the numbers of each part stand beside its edge: right of it, above it, and how they are aligned.
SIDES = ((-0.02, 0.0, "right", "center"), (0.0, -0.03, "center", "top"), (0.02, 0.0, "left", "center"))


def plot_ternary(samples: Mapping[str, Tensor], names: Sequence[str]) -> Figure:
    """Draw compositions in the triangle whose corners are pure parts.

    Arguments:
        samples: Compositions by the title of their panel, each of shape ``(row, 3)`` with sum 1. Of very many the first
            are drawn.
        names: Names of the three parts.

    Returns:
        The figure, a panel for each set.

    Raises:
        ValueError: If there is no set, or the compositions have not three parts.
    """
    if not samples or len(names) != 3 or any(parts.ndim != 2 or parts.shape[1] != 3 for parts in samples.values()):
        shapes = {title: tuple(parts.shape) for title, parts in samples.items()}
        raise ValueError(f"`samples` must be sets of compositions of three parts, as many as `names`; got {shapes}.")
    with styled():
        figure = Figure(figsize=(PANEL * len(samples), PANEL), layout="constrained")
        for axes, (title, parts) in zip(
            figure.subplots(1, len(samples), squeeze=False)[0], samples.items(), strict=True
        ):
            _frame(axes, names)
            shown = parts[:MOST_POINTS].double().cpu().numpy()
            size = float(np.clip(200 / math.sqrt(len(shown)), 1, 12))
            axes.scatter(*_place(shown), s=size, color="C0", alpha=0.5, linewidth=0, zorder=2)
            axes.set_title(f"{title} ({len(parts)})")
    return figure


def _place(parts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the abscissae and ordinates of compositions: the parts' corners are left, right and top."""
    return parts[..., 1] + 0.5 * parts[..., 2], HEIGHT * parts[..., 2]


def _frame(axes: Axes, names: Sequence[str]) -> None:
    corners = np.eye(3)
    axes.plot(*_place(corners[[0, 1, 2, 0]]), color="black", linewidth=0.8, zorder=3)
    for level in LINES:
        for k in range(3):
            ends = np.zeros((2, 3))
            ends[:, k] = level
            ends[0, (k + 1) % 3] = ends[1, (k + 2) % 3] = 1 - level
            axes.plot(*_place(ends), color="0.85", linewidth=0.5, zorder=1)
            # Written outside, at the edge on which the part grows.
            x, y = (float(each) for each in _place(ends[1]))
            right, up, across, along = SIDES[k]
            axes.text(x + right, y + up, f"{level:g}", ha=across, va=along, fontsize=5, color="0.4")
    for name, corner, up, along in zip(names, corners, (-0.1, -0.1, 0.03), ("top", "top", "bottom"), strict=True):
        x, y = (float(each) for each in _place(corner))
        axes.text(x, y + up, name, ha="center", va=along)
    axes.set_xlim(-0.12, 1.12)
    axes.set_ylim(-0.2, HEIGHT + 0.14)
    axes.set_aspect("equal")
    axes.set_axis_off()
