"""All figures of a run, drawn into its folder."""

from collections.abc import Mapping, Sequence

import xarray as xr

from analysis.plots.error_against_time import plot_error_against_time
from analysis.plots.figure import save_figure
from analysis.plots.loss_history import plot_loss_history
from analysis.plots.score_fields import plot_score_fields
from analysis.plots.trajectories import plot_trajectories
from analysis.references.reference import Reference
from physcore.score.model import ScoreModel
from physcore.storage.netcdf import read_dataset
from physcore.storage.run import RunFolder, open_run

__all__ = ["draw_run"]

SHOWN_PATHS = 20_000


def draw_run(
    folder: RunFolder,
    score: ScoreModel,
    references: Mapping[str, Reference],
    comparison: xr.DataTree,
    times: Sequence[float],
) -> None:
    """Draw trajectories, score fields, errors and losses of a run.

    Arguments:
        folder: The run directory.
        score: Its learned score.
        references: References by name.
        comparison: The comparison with them.
        times: Times of marginals and score fields.
    """
    trajectories = open_run(folder.path).isel(path=slice(SHOWN_PATHS)).load()
    save_figure(plot_trajectories(score.process, trajectories, times), folder.figures / "trajectories.png")
    if folder.history.exists():
        save_figure(plot_loss_history(read_dataset(folder.history)), folder.figures / "loss_history.png")
    for name, reference in references.items():
        figure = plot_error_against_time(comparison.to_dataset(), name)
        save_figure(figure, folder.figures / f"error_against_time_{name}.png")
        for time in times:
            if score.trained_at(time):
                figure = plot_score_fields(score, reference, trajectories, time)
                save_figure(figure, folder.figures / f"score_{name}_t{time:g}.png")
