"""Figure: the learned score, the reference and their difference at one time."""

import numpy as np
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.ndimage import binary_closing

from analysis.plots.axes import signed_ticks
from analysis.plots.figure import DOUBLE_COLUMN, styled
from analysis.plots.shown_components import shown_components
from analysis.references.reference import Reference
from physcore.registry import name_of
from physcore.score.model import ScoreModel
from physcore.trajectory import frames
from physcore.variable import axis_label, reciprocal_units

__all__ = ["plot_score_fields"]

POINTS = 220
CELLS = 60
SHOWN_COMPONENTS = 4
SHOWN_STATES = 2000
Field = NDArray[np.float64]


def plot_score_fields(score: ScoreModel, reference: Reference, trajectories: xr.Dataset, time: float) -> Figure:
    """Draw the score at one time where the process is found.

    Arguments:
        score: The learned score.
        reference: The reference.
        trajectories: Simulated states, which say where to look.
        time: A saved time.

    Returns:
        In one dimension curves, in two dimensions maps of each learned component, in more dimensions each learned
        component against the reference's at simulated states.
    """
    states = frames(score.process, trajectories.sel(time=[time], method="nearest"))[0]
    with styled():
        match score.process.dimension:
            case 1:
                figure = _curves(score, reference, states, time)
            case 2:
                figure = _maps(score, reference, states, time)
            case _:
                figure = _scatter(score, reference, states, time)
        named = name_of(type(reference)) or type(reference).__name__
        figure.suptitle(f"score at $t = {time:g}$, learned and {named}", fontsize=10)
    return figure


def _both(score: ScoreModel, reference: Reference, points: torch.Tensor, time: float) -> tuple[Field, Field]:
    device = next(score.parameters()).device
    with torch.no_grad():
        learned = score(points.to(device), time).double().cpu().numpy()
    exact = reference.score(points, torch.tensor(time, dtype=torch.float64)).double().cpu().numpy()
    return learned, np.where(np.isfinite(exact), exact, np.nan)


def _curves(score: ScoreModel, reference: Reference, states: torch.Tensor, time: float) -> Figure:
    x = _span(states[:, 0].numpy())
    learned, exact = _both(score, reference, torch.from_numpy(x).unsqueeze(-1), time)
    figure = Figure(figsize=(DOUBLE_COLUMN, 2.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    variable = score.process.variables[0]
    units = reciprocal_units(variable.units)
    left.plot(x, exact[:, 0], color="0.4", lw=3, alpha=0.6, label="reference")
    left.plot(x, learned[:, 0], "--", color="C1", label="learned")
    left.set(xlabel=variable.label, ylabel=axis_label("score $s$", units))
    left.legend()
    right.plot(x, learned[:, 0] - exact[:, 0], color="C0")
    right.axhline(0, color="0.7", lw=0.8)
    right.set(xlabel=variable.label, ylabel=axis_label(r"$s_\theta - s_{\rm ref}$", units))
    return figure


def _maps(score: ScoreModel, reference: Reference, states: torch.Tensor, time: float) -> Figure:
    axes_points = [_span(states[:, i].numpy()) for i in range(2)]
    grid = torch.from_numpy(np.stack(np.meshgrid(*axes_points, indexing="ij"), -1))
    learned, exact = _both(score, reference, grid, time)
    inhabited = _inhabited(states, axes_points)
    variables = score.process.variables
    figure = Figure(figsize=(DOUBLE_COLUMN, 2.3 * len(score.components) + 0.4), layout="constrained")
    axes = figure.subplots(len(score.components), 3, sharex=True, sharey=True, squeeze=False)
    for i, row in zip(score.components, axes, strict=True):
        shown = [np.where(inhabited, field[..., i], np.nan) for field in (learned, exact, learned - exact)]
        limit = float(np.nanquantile(np.abs(shown[1]), 0.99))
        names = [rf"learned $s_{{{variables[i].symbol or variables[i].name}}}$"]
        names += [names[0].replace("learned", "reference"), "difference"]
        titles = [axis_label(name, reciprocal_units(variables[i].units)) for name in names]
        for j, (panel, field, title) in enumerate(zip(row, shown, titles, strict=True)):
            bound = limit if j < 2 else float(np.nanquantile(np.abs(field), 0.99))
            _map(figure, panel, axes_points, field, bound, title)
    for panel in axes[-1]:
        panel.set_xlabel(variables[0].label)
    for panel in axes[:, 0]:
        panel.set_ylabel(variables[1].label)
    return figure


def _map(figure: Figure, axes: Axes, points: list[Field], field: Field, bound: float, title: str) -> None:
    norm = AsinhNorm(linear_width=max(bound, 1e-12) / 5, vmin=-bound, vmax=bound)
    mesh = axes.pcolormesh(points[0], points[1], field.T, norm=norm, cmap="RdBu_r", shading="nearest", rasterized=True)
    axes.set_facecolor("0.85")
    axes.set_title(title)
    signed_ticks(figure.colorbar(mesh, ax=axes, extend="both"), bound)


def _span(values: Field) -> Field:
    low, high = np.quantile(values, [0.0005, 0.9995])
    margin = 0.05 * (high - low)
    return np.linspace(low - margin, high + margin, POINTS)


def _inhabited(states: torch.Tensor, points: list[Field]) -> NDArray[np.bool]:
    """Return the grid points near simulated states; elsewhere a score means nothing and none is shown."""
    edges = [np.linspace(p[0], p[-1], CELLS + 1) for p in points]
    counts = np.histogram2d(states[:, 0].numpy(), states[:, 1].numpy(), edges)[0]
    column, row = (
        np.clip(np.searchsorted(e, p, side="right") - 1, 0, CELLS - 1) for e, p in zip(edges, points, strict=True)
    )
    # Closing fills the cells among inhabited ones that no state happens to lie in, and adds none outside.
    inhabited: NDArray[np.bool] = binary_closing(np.pad(counts > 0, 1))[1:-1, 1:-1][np.ix_(column, row)]
    return inhabited


def _scatter(score: ScoreModel, reference: Reference, states: torch.Tensor, time: float) -> Figure:
    learned, exact = _both(score, reference, states[:SHOWN_STATES], time)
    shown = [i for i in shown_components(score.process, SHOWN_COMPONENTS) if i in score.components]
    shown = shown or list(score.components[:SHOWN_COMPONENTS])
    figure = Figure(figsize=(DOUBLE_COLUMN, 2.2), layout="constrained")
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for i, axes in zip(shown, panels, strict=True):
        bound = float(np.nanmax(np.abs(exact[:, i])))
        axes.plot([-bound, bound], [-bound, bound], color="0.7", lw=0.8)
        axes.plot(exact[:, i], learned[:, i], ".", ms=1.5, color="C0")
        variable = score.process.variables[i]
        label = axis_label(rf"reference $s_{{{variable.symbol or variable.name}}}$", reciprocal_units(variable.units))
        axes.set(xlabel=label, ylabel="learned" if axes is panels[0] else "")
        axes.set_aspect("equal")
    return figure
