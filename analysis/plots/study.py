"""All figures of a study, drawn into its folder."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from analysis.plots.figure import save_figure
from analysis.plots.study_axis import StudyAxis
from analysis.plots.study_error import study_axes, study_error
from analysis.plots.study_error_against_axis import plot_study_error_against_axis
from analysis.plots.study_error_against_time import plot_study_error_against_time
from analysis.plots.study_error_map import plot_study_error_map

__all__ = ["draw_study"]

SHOWN_TIMES = (0.2, 0.6, 1.0)  # parts of the compared times
MOST_MAPS = 12  # of one pair of axes


def draw_study(study: xr.Dataset, folder: Path) -> None:
    """Draw the errors of a study over time, over each axis and over each pair of axes, against each reference.

    Each process has figures of its own. Repetitions with other seeds are averaged, unless the study has nothing else.
    Of more than two further axes there is a map for each point of the others, as long as these are few.

    Arguments:
        study: Joined results, as ``open_study`` reads them; without comparisons nothing is drawn.
        folder: Where the figures go.
    """
    if "value" not in study:
        return
    for of, part in _processes(study):
        axes = [name for name in study_axes(part, repetitions=False) if part.sizes[name] > 1]
        axes = axes or study_axes(part, repetitions=False)[:1]
        for reference in map(str, part["reference"].values):
            if not part["value"].sel(reference=reference, selection=["full", "driven"]).notnull().any():
                continue
            times = study_error(part, reference=reference)["time"].values
            shown = sorted({float(times[round(fraction * (len(times) - 1))]) for fraction in SHOWN_TIMES})
            end = f"{of}_{reference}.png"
            for axis in axes:
                figure = plot_study_error_against_time(part, axis, reference)
                save_figure(figure, folder / f"error_against_time_by_{axis}{end}")
                figure = plot_study_error_against_axis(part, axis, reference, shown)
                save_figure(figure, folder / f"error_against_{axis}{end}")
            for up, across in itertools.combinations(axes, 2):
                for at, chosen in _points(part, [axis for axis in axes if axis not in (up, across)]):
                    figure = plot_study_error_map(chosen, across, up, reference, float(np.max(shown)))
                    save_figure(figure, folder / f"error_map_{across}_{up}{at}{end}")


def _points(study: xr.Dataset, axes: Sequence[str]) -> Iterator[tuple[str, xr.Dataset]]:
    """Yield the parts of a study at the points of some axes, and what to call them in the names of files."""
    counts = [range(study.sizes[axis]) for axis in axes]
    if np.prod([len(count) for count in counts], dtype=np.int64) > MOST_MAPS:
        return
    for place in itertools.product(*counts):
        named = (f"_{axis}={StudyAxis.of(study, axis).texts[i]}" for axis, i in zip(axes, place, strict=True))
        yield "".join(named), study.isel({axis: [i] for axis, i in zip(axes, place, strict=True)})


def _processes(study: xr.Dataset) -> Iterator[tuple[str, xr.Dataset]]:
    """Yield the parts of a study with one process each, and what to call them in the names of files."""
    along = next((name for name in study_axes(study) if "process" in study[name].attrs["keys"].split()), None)
    if along is None:
        yield "", study
        return
    for label in study[along].values:
        yield f"_{label}", study.sel({along: [label]})
