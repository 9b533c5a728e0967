"""Figure: relative score errors of a study against time, by the values of one axis."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.plots.axes import time_label
from analysis.plots.figure import SINGLE_COLUMN, styled, whole_decades
from analysis.plots.study_axis import StudyAxis, error_bars, error_label
from analysis.plots.study_error import study_axes, study_error

__all__ = ["plot_study_error_against_time"]

DASHES = ("-", "--", ":", "-.")


def plot_study_error_against_time(study: xr.Dataset, axis: str, reference: str) -> Figure:
    """Draw errors over time, coloured by their place on one axis.

    Arguments:
        study: Joined results, as ``open_study`` reads them.
        axis: Name of the axis.
        reference: Name of the reference.

    Returns:
        The figure: a line for each cell, repetitions with other seeds averaged, with bars of one standard error. The
        points of a second axis are told apart by dashes.
    """
    errors, points = study_error(study, reference=reference), StudyAxis.of(study, axis)
    others = [name for name in study_axes(study, repetitions=False) if name != axis and study.sizes[name] > 1]
    second = StudyAxis.of(study, others[0]) if others else None
    lines = errors.transpose(axis, *others, "time", ...)
    times = lines["time"].values
    shape = (len(points.labels), 1 if second is None else len(second.labels), -1, len(times))
    value, error = (lines[name].values.reshape(shape) for name in ("value", "standard_error"))
    with styled():
        figure = Figure(figsize=(SINGLE_COLUMN, 2.8 if second is None else 3.2), layout="constrained")
        axes = figure.subplots()
        for place in np.ndindex(value.shape[:3]):
            if np.isfinite(value[place]).any():
                style = {"color": points.colours[place[0]], "ls": DASHES[place[1] % len(DASHES)]}
                axes.errorbar(
                    times, value[place], error_bars(value[place], error[place]), lw=1, elinewidth=0.8, **style
                )
        axes.set_yscale("log")
        axes.set_xlabel(time_label(errors["time"]))
        axes.set_ylabel(error_label(errors))
        whole_decades(axes)
        _legend(figure, "outside upper left", points, [{"color": colour} for colour in points.colours])
        if second is not None:
            count = len(second.labels)
            _legend(
                figure,
                "outside lower left",
                second,
                [{"color": "0.3", "ls": DASHES[i % len(DASHES)]} for i in range(count)],
            )
    return figure


def _legend(figure: Figure, place: Any, points: StudyAxis, styles: list[dict[str, Any]]) -> None:
    handles = [Line2D([], [], label=text, **style) for text, style in zip(points.texts, styles, strict=True)]
    figure.legend(
        handles=handles,
        loc=place,
        ncols=points.columns,
        title=points.title,
        title_fontsize=8,
        alignment="left",
        columnspacing=0.8,
        handlelength=1.8,
        handletextpad=0.4,
    )
