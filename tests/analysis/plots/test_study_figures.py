"""Figures of studies show what they should; what they look like is for eyes."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from analysis.plots import (
    draw_study,
    plot_study_error_against_axis,
    plot_study_error_against_time,
    plot_study_error_map,
)

TIMES = np.linspace(0.5, 3.0, 6)
AXES = {
    "lag": ([0.05, 0.01, 0.2], "fit.objective.lag"),
    "method": (["local-denoising", "implicit"], "fit.objective"),
    "width": ([32, 64], "fit.model.network.width"),
    "process": (["double-well", "duffing"], "process"),
    "seed": ([1, 2, 3], "seed"),
}


def study(*axes: str) -> xr.Dataset:
    """Return joined results over some axes whose errors grow with the places on them."""
    shape = tuple(len(AXES[axis][0]) for axis in axes)
    errors = 1e-3 * 2.0 ** np.add.reduce(np.indices(shape))
    value = errors[..., None, None, None] * np.ones((1, 2, 1)) / TIMES
    dims = (*axes, "reference", "selection", "time")
    return xr.Dataset(
        {
            "value": (dims, value),
            "standard_error": (dims, 0.1 * value),
            "state": (axes, np.ones(shape, dtype=np.int8)),
        },
        {
            **{axis: (axis, np.array(AXES[axis][0]), {"keys": AXES[axis][1]}) for axis in axes},
            "reference": ["exact"],
            "selection": ["full", "driven"],
            "time": TIMES,
        },
    )


@pytest.mark.parametrize(
    ("axes", "names"),
    [
        (("lag",), {"error_against_time_by_lag_exact", "error_against_lag_exact"}),
        (("seed",), {"error_against_time_by_seed_exact", "error_against_seed_exact"}),
        (
            ("lag", "method", "seed"),
            {
                *(f"error_against_{axis}_exact" for axis in ("lag", "method", "time_by_lag", "time_by_method")),
                "error_map_method_lag_exact",
            },
        ),
        (
            ("process", "lag"),
            {
                f"error_against_{axis}_{process}_exact"
                for axis in ("lag", "time_by_lag")
                for process in ("double-well", "duffing")
            },
        ),
    ],
    ids=["one", "seeds", "two", "processes"],
)
def test_a_study_has_the_figures_of_its_axes(
    axes: tuple[str, ...], names: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr("analysis.plots.study.save_figure", lambda figure, path: drawn.append(path.stem))
    draw_study(study(*axes), tmp_path / "figures")
    assert set(drawn) == names
    assert len(drawn) == len(names)


def test_figures_are_files(tmp_path: Path) -> None:
    draw_study(study("lag"), tmp_path / "figures")
    assert all(path.stat().st_size > 1000 for path in (tmp_path / "figures").glob("*.png"))
    assert len(list((tmp_path / "figures").glob("*.png"))) == 2


def test_of_more_axes_there_is_a_map_for_each_point_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr("analysis.plots.study.save_figure", lambda figure, path: drawn.append(path.stem))
    draw_study(study("lag", "method", "width"), tmp_path)
    maps = [name for name in drawn if name.startswith("error_map")]
    assert len(maps) == 2 + 2 + 3
    assert "error_map_width_lag_method=implicit_exact" in maps


def test_a_study_without_comparisons_or_results_has_no_figures(tmp_path: Path) -> None:
    draw_study(study("lag").drop_vars("value"), tmp_path)
    draw_study(study("lag").where(False), tmp_path)
    assert not list(tmp_path.iterdir())


def test_against_time_there_is_a_line_for_each_place_and_repetitions_are_averaged() -> None:
    figure = plot_study_error_against_time(study("lag", "seed"), "lag", "exact")
    curves = [bars.lines[0] for bars in figure.axes[0].containers]
    assert len(curves) == 3
    np.testing.assert_allclose(curves[0].get_ydata(), 1e-3 * np.mean([1, 2, 4]) / TIMES)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["0.05", "0.01", "0.2"]
    assert figure.axes[0].get_yscale() == "log"
    # A second axis is told apart by dashes and has a legend of its own.
    figure = plot_study_error_against_time(study("lag", "method"), "lag", "exact")
    assert len(figure.axes[0].containers) == 6
    assert [text.get_text() for text in figure.legends[1].get_texts()] == ["local-denoising", "implicit"]


def test_against_an_axis_numbers_lie_in_order_and_words_side_by_side() -> None:
    figure = plot_study_error_against_axis(study("lag"), "lag", "exact", [1.0, 3.0])
    first, last = (bars.lines[0] for bars in figure.axes[0].containers)
    assert first.get_xdata().tolist() == [0.01, 0.05, 0.2]
    np.testing.assert_allclose(first.get_ydata(), [2e-3, 1e-3, 4e-3])
    np.testing.assert_allclose(last.get_ydata(), np.array([2e-3, 1e-3, 4e-3]) / 3)
    assert figure.axes[0].get_xscale() == "log"
    figure = plot_study_error_against_axis(study("lag", "method"), "method", "exact", [1.0, 3.0])
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["local-denoising", "implicit"]
    assert len(figure.axes[0].containers) == 3, "one line for each lag, at the last time"
    assert figure.legends[0].get_title().get_text() == "lag, at time $t = 3$"


def test_a_map_grows_to_the_right_and_upwards_and_a_missing_cell_stays_empty() -> None:
    given = study("lag", "width", "seed")
    given["value"].loc[{"lag": 0.2, "width": 64}] = np.nan
    figure = plot_study_error_map(given, "width", "lag", "exact", 0.5)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["0.01", "0.05", "0.2"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["32", "64"]
    shown = axes.collections[0].get_array()
    assert shown.mask.tolist() == [[False, False], [False, False], [False, True]]
    mean = 100 * 1e-3 * np.mean([1, 2, 4]) / 0.5
    np.testing.assert_allclose(shown[:2], mean * np.array([[2, 4], [1, 2]]))
    assert len(axes.texts) == 5
    assert figure.axes[1].get_ylabel() == "relative score error, %"
