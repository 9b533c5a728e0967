"""Figure: relative score errors of a study against the values of one axis."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from analysis.plots.figure import SINGLE_COLUMN, styled, whole_decades
from analysis.plots.study_axis import StudyAxis, error_bars, error_label
from analysis.plots.study_error import study_axes, study_error

__all__ = ["plot_study_error_against_axis"]

MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def plot_study_error_against_axis(study: xr.Dataset, axis: str, reference: str, times: Sequence[float]) -> Figure:
    """Draw errors over one axis of a study.

    Arguments:
        study: Joined results, as ``open_study`` reads them.
        axis: Name of the axis.
        reference: Name of the reference.
        times: Times, of which the nearest compared ones are taken.

    Returns:
        The figure: repetitions with other seeds averaged, with bars of one standard error, and each of them as a dot.
        Without a further axis a line for each time; with one, or more, a line for each of their points at the last
        time.
    """
    points, dims = StudyAxis.of(study, axis), study_axes(study, repetitions=False)
    others = [name for name in dims if name != axis and study.sizes[name] > 1]
    mean, each = (study_error(study, along, reference=reference) for along in (dims, study_axes(study)))
    moments = list(dict.fromkeys(float(mean["time"].sel(time=time, method="nearest")) for time in times))
    if others:
        hue = StudyAxis.of(study, others[0])
        moments, texts, colours, title = moments[-1:], hue.texts, hue.colours, hue.title
    else:
        texts, colours, title = [f"{time:g}" for time in moments], [f"C{i}" for i in range(len(moments))], "time $t$"
    by = others[0] if others else "time"
    mean, each = (
        errors.sel(time=moments).transpose(axis, by, ...).isel({axis: points.order}) for errors in (mean, each)
    )
    places, shape = points.places[points.order], (len(points.labels), len(texts), -1)
    value, error, cells = (
        array.values.reshape(shape) for array in (mean["value"], mean["standard_error"], each["value"])
    )
    with styled():
        figure = Figure(figsize=(SINGLE_COLUMN, 2.8), layout="constrained")
        axes = figure.subplots()
        for i, (text, colour) in enumerate(zip(texts, colours, strict=True)):
            for k in range(value.shape[2]):
                style = {"fmt": f"{MARKERS[i % len(MARKERS)]}-", "ms": 4, "mfc": "none", "lw": 0.8, "color": colour}
                bars = error_bars(value[:, i, k], error[:, i, k])
                axes.errorbar(places, value[:, i, k], bars, label=None if k else text, **style)
            if cells.shape[2] > value.shape[2]:
                axes.plot(np.repeat(places, cells.shape[2]), cells[:, i].ravel(), ".", ms=2.5, alpha=0.5, color=colour)
        axes.set_yscale("log")
        points.put_on(axes)
        axes.set_ylabel(error_label(mean))
        whole_decades(axes)
        compact = {"columnspacing": 0.8, "handlelength": 1.4, "handletextpad": 0.4}
        heading = f"{title}, at time $t = {moments[-1]:g}$" if others else title
        columns = hue.columns if others else 4
        figure.legend(
            loc="outside upper left", ncols=columns, title=heading, title_fontsize=8, alignment="left", **compact
        )
    return figure
