"""All figures of a run that apply to it, drawn into its folder."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from matplotlib.figure import Figure

from analysis.plots.entropy_production import plot_entropy_production
from analysis.plots.error_against_time import plot_error_against_time
from analysis.plots.figure import above_least, save_figure
from analysis.plots.loss_history import plot_loss_history
from analysis.plots.probability_current import plot_probability_current
from analysis.plots.reliability import plot_reliability
from analysis.plots.reversed_samples import plot_reversed_samples
from analysis.plots.score_difference import plot_score_difference
from analysis.plots.score_fields import plot_score_fields
from analysis.plots.shown_components import shown_components
from analysis.plots.training_errors import TRAINING_ERRORS
from analysis.plots.training_time import plot_error_against_training_time
from analysis.plots.trajectories import SHOWN_VARIABLES, plot_trajectories
from analysis.quantities.calibration import calibration
from analysis.quantities.quantity import LEARNED
from analysis.references.reference import Reference
from physcore.communicator import Communicator, SerialCommunicator
from physcore.particles import stored_variables
from physcore.process import Process
from physcore.score.model import ScoreModel
from physcore.storage.netcdf import read_dataset
from physcore.storage.run import RunFolder, open_run

__all__ = ["draw_run"]

SHOWN_PATHS = 20_000
SHOWN_FRAMES = 201

Named = Iterator[tuple[str, Callable[[], Figure]]]


def draw_run(
    folder: RunFolder,
    score: ScoreModel,
    references: Mapping[str, Reference],
    comparison: xr.DataTree,
    times: Sequence[float],
    communicator: Communicator | None = None,
) -> None:
    """Draw trajectories, score fields, errors, losses and quantities of a run, as far as they apply to it.

    Arguments:
        folder: The run directory.
        score: Its learned score.
        references: References by name.
        comparison: The comparison with them.
        times: Times of marginals and score fields.
        communicator: Ranks that share the figures; serial when None.
    """
    ranks = communicator or SerialCommunicator()
    trajectories = open_run(folder.path).isel(path=slice(SHOWN_PATHS))
    figures = [
        _of_states(score, references, trajectories, times),
        _of_the_fit(folder, comparison),
        _of_errors(comparison, references),
        _of_quantities(score.process, comparison),
    ]
    every = [pair for group in figures for pair in group]
    for index in ranks.share(len(every)):
        name, draw = every[index]
        save_figure(draw(), folder.figures / f"{name}.png")
    ranks.barrier()


def _of_states(
    score: ScoreModel, references: Mapping[str, Reference], trajectories: xr.Dataset, times: Sequence[float]
) -> Named:
    def paths() -> Figure:
        return plot_trajectories(score.process, _thinned(score.process, trajectories, times), times)

    def fields(reference: Reference, time: float) -> Figure:
        return plot_score_fields(score, reference, trajectories.sel(time=[time], method="nearest").load(), time)

    yield "trajectories", paths
    for time in times:
        if score.trained_at(time):
            for name, reference in references.items():
                yield f"score_fields_{name}_t{time:g}", functools.partial(fields, reference, time)


def _thinned(process: Process, trajectories: xr.Dataset, times: Sequence[float]) -> xr.Dataset:
    """Return what a figure of paths shows: few variables of few frames, however long the run is."""
    stored = stored_variables(process)
    shown = shown_components(process, SHOWN_VARIABLES)
    kept = [item.variable.name for item in stored if any(i in range(process.dimension)[item.components] for i in shown)]
    saved = trajectories["time"].values
    frames_kept = set(np.linspace(0, len(saved) - 1, min(len(saved), SHOWN_FRAMES)).round().astype(int).tolist())
    frames_kept |= {int(np.argmin(np.abs(saved - time))) for time in times}
    part = trajectories[kept].isel(time=sorted(frames_kept))
    particles = max(i - item.components.start for item in stored for i in shown if i < item.components.stop) + 1
    return part.isel(particle=slice(max(1, particles)), missing_dims="ignore").load()


def _of_the_fit(folder: RunFolder, comparison: xr.DataTree) -> Named:
    if folder.history.exists():
        history = read_dataset(folder.history)
        yield "loss_history", functools.partial(plot_loss_history, history)
        fallen = comparison.children.get(TRAINING_ERRORS)
        errors = None if fallen is None else fallen.to_dataset().dropna("time", how="all", subset=["value"])
        if errors is not None or np.isfinite(above_least(history["validation_loss"].values)).any():
            yield "error_against_training_time", functools.partial(plot_error_against_training_time, history, errors)


def _of_errors(comparison: xr.DataTree, references: Mapping[str, Reference]) -> Named:
    errors = comparison.to_dataset()
    for name in references:
        yield f"error_against_time_{name}", functools.partial(plot_error_against_time, errors, name)
        if "score-difference" in comparison.children:
            group = comparison["score-difference"].to_dataset()
            yield f"score_difference_{name}", functools.partial(plot_score_difference, group, name)
    told = calibration(comparison)
    if told.sizes["estimate"]:
        yield "reliability", functools.partial(plot_reliability, told)


def _of_quantities(process: Process, comparison: xr.DataTree) -> Named:
    groups = {name: node.to_dataset() for name, node in comparison.children.items()}
    if "probability-current" in groups:
        group = groups["probability-current"].dropna("time", how="all", subset=["value"])
        currents = {str(name): group.sel(score=name) for name in group["score"].values}
        learned = currents.pop(LEARNED)
        for time in learned["time"].values:
            drawn = functools.partial(plot_probability_current, learned, time, currents)
            yield f"probability_current_t{time:g}", drawn
    if "entropy-production-rate" in groups:
        rates = groups["entropy-production-rate"].dropna("time", how="all", subset=["value"])
        estimates = {str(name): rates.sel(score=name) for name in rates["score"].values}
        yield "entropy_production", functools.partial(plot_entropy_production, estimates, _known_rate(process))
    if "reversed-density" in groups:
        distance = groups.get("sliced-wasserstein-distance")
        yield "reversed_samples", functools.partial(plot_reversed_samples, groups["reversed-density"], distance)


def _known_rate(process: Process) -> Any:
    """Return the entropy production rate that a process knows, as a function of times; None for others."""
    known = getattr(process, "entropy_production_rate", None)
    return None if known is None else lambda times: known(torch.tensor(times)).numpy()
