"""Figures of a comparison's quantities show its numbers; what does not apply is left out."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from analysis.plots import (
    plot_error_against_training_time,
    plot_loss_history,
    plot_reliability,
    plot_reversed_samples,
    plot_score_difference,
)
from analysis.plots.training_errors import TRAINING_ERRORS
from physcore.command import main
from physcore.storage.netcdf import read_tree

TIMES = np.array([0.0, 0.5, 1.0])
X, V = np.linspace(-1, 1, 5), np.linspace(-2, 2, 4)
CENTRES = {
    "x": ("x", X, {"symbol": "x", "units": "m"}),
    "v": ("v", V, {"symbol": "v", "units": "m s-1"}),
}


def meshes(figure: Figure) -> list[np.ndarray]:
    """Return the numbers of every map of a figure, colour bars left out."""
    panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    found = [child for axes in panels for child in axes.get_children() if isinstance(child, QuadMesh)]
    return [np.ma.filled(mesh.get_array().reshape(len(V), len(X)), np.nan) for mesh in found]


def difference() -> xr.Dataset:
    """Return a difference that is clear in half of the bins, known at the later two of three times."""
    value = np.tile(X[:, None] * np.ones(4), (1, 3, 2, 1, 1))
    value[:, 0] = np.nan
    error = np.where(np.arange(4) < 2, 1e-3, 10.0) * np.ones_like(value)
    field, scalar = ("score", "time", "component", "x", "v"), ("score", "time", "x", "v")
    density = np.exp(-(X[:, None] ** 2) - V**2) * np.ones((1, 3, 1, 1))
    return xr.Dataset(
        {"value": (field, value), "standard_error": (field, error), "density": (scalar, density)},
        {"score": ["grid"], "time": TIMES, "component": ["x", "v"], **CENTRES},
        {"variables": "x v"},
    )


def test_a_map_of_differences_shows_those_that_are_clear() -> None:
    figure = plot_score_difference(difference(), "grid")
    shown = meshes(figure)
    assert len(shown) == 4  # two components at two times
    for mesh in shown:
        np.testing.assert_allclose(mesh[:2], np.where(X == 0, np.nan, X) * np.ones((2, 1)))
        assert np.isnan(mesh[2:]).all()
    assert figure.axes[0].get_title(loc="left") == "$t = 0.5$"
    assert figure.axes[2].get_xlabel() == "$x$ [m]"
    assert figure.axes[0].get_ylabel() == "$v$ [m s⁻¹]"


def test_differences_of_one_variable_are_curves_with_bands() -> None:
    one = difference().isel(v=0, drop=True).sel(component=["x"]).assign_attrs(variables="x")
    figure = plot_score_difference(one, "grid")
    curve = figure.axes[0].lines[1]
    np.testing.assert_allclose(curve.get_ydata(), X)
    assert len(figure.axes[0].collections) == 2  # density and band


def reversed_density(plane: str) -> xr.Dataset:
    names = plane.split()
    shape = (1, len(TIMES), *(len(CENTRES[name][1]) for name in names))
    numbers = np.arange(1.0, np.prod(shape) + 1).reshape(shape)
    dims = ("score", "time", *names)
    return xr.Dataset(
        {
            "value": (dims, numbers),
            "standard_error": (dims, 0.1 * numbers),
            "simulated": (dims, 2 * numbers),
            "simulated_standard_error": (dims, 0.2 * numbers),
        },
        {"score": ["learned"], "time": TIMES, **{name: CENTRES[name] for name in names}},
        {"variables": plane},
    )


def test_reversed_samples_stand_below_simulated_ones_with_their_distance() -> None:
    densities = reversed_density("x v")
    distance = xr.Dataset(
        {"value": (("score", "time"), [[0.2, 0.3, np.nan]]), "floor": (("score", "time"), [[0.19, 0.1, np.nan]])},
        {"score": ["learned"], "time": TIMES},
    )
    figure = plot_reversed_samples(densities, distance)
    shown = meshes(figure)
    assert len(shown) == 6
    for i in range(3):
        np.testing.assert_allclose(shown[i], densities["simulated"].values[0, i].T)
        np.testing.assert_allclose(shown[3 + i], densities["value"].values[0, i].T)
    titles = [axes.get_title(loc="left") for axes in figure.axes[:6]]
    assert titles[:3] == ["$t = 0$", "$t = 0.5$", "$t = 1$"]
    told = ["distance 0.200\ntwo samples 0.190", "distance 0.300\ntwo samples 0.100", "start: states\nof other paths"]
    assert titles[3:] == told
    assert "reversed, learned score" in figure.axes[3].get_ylabel()


def test_reversed_samples_of_one_variable_are_curves() -> None:
    densities = reversed_density("x")
    figure = plot_reversed_samples(densities)
    simulated, backwards = figure.axes[1].lines
    np.testing.assert_allclose(simulated.get_ydata(), densities["simulated"].values[0, 1])
    np.testing.assert_allclose(backwards.get_ydata(), densities["value"].values[0, 1])


def test_reliability_has_a_point_for_every_estimate_and_a_ratio_for_every_quantity() -> None:
    told = xr.Dataset(
        {
            "value": ("quantity", [1.1, 0.5]),
            "standard_error": ("quantity", [0.2, 0.1]),
            "predicted": ("estimate", [1.0, 2.0, 3.0]),
            "observed": ("estimate", [1.1, 2.2, 1.5]),
            "of": ("estimate", [0, 0, 1]),
        },
        {"quantity": ["first", "second"]},
        {"blocks": 9},
    )
    left, right = plot_reliability(told).axes
    points = np.concatenate([np.column_stack(line.get_data()) for line in left.lines[1:]])
    np.testing.assert_allclose(points, [[1.0, 1.1], [2.0, 2.2], [3.0, 1.5]])
    assert [text.get_text() for text in right.get_yticklabels()] == ["first", "second"]
    np.testing.assert_allclose([bar.lines[0].get_xdata()[0] for bar in right.containers], [1.1, 0.5])


def test_losses_and_errors_stand_against_the_time_of_training() -> None:
    seconds = np.array([1.0, 2.0, 4.0])
    history = xr.Dataset(
        {
            "elapsed": ("step", seconds),
            "validation_loss": ("step", [3.0, 2.0, 1.0]),
            "validation_standard_error": ("step", [0.1, 0.1, 0.1]),
        }
    )
    (losses,) = plot_error_against_training_time(history).axes
    np.testing.assert_allclose(losses.lines[0].get_data(), [[1.0, 2.0], [2.0, 1.0]])
    errors = xr.Dataset(
        {
            "value": (("elapsed", "time"), [[0.3], [0.2], [0.1]]),
            "standard_error": (("elapsed", "time"), [[0.5], [0.01], [0.01]]),
        },
        {"elapsed": seconds, "time": [1.0]},
    )
    _, below = plot_error_against_training_time(history, errors).axes
    np.testing.assert_allclose(below.containers[0].lines[0].get_data(), [seconds, [0.3, 0.2, 0.1]])
    assert below.get_xlabel() == "training time [s]"


def test_a_fit_that_was_validated_once_has_one_visible_point_and_no_empty_panel() -> None:
    losses = {"training_loss": 3.0, "validation_loss": 2.0, "elapsed": 1.0, "validation_standard_error": 0.1}
    once = xr.Dataset({name: ("step", [value]) for name, value in losses.items()}, {"step": [300]})
    (panel,) = plot_loss_history(once).axes
    assert [line.get_marker() for line in panel.lines] == ["o", "o"]
    with pytest.raises(ValueError, match="two losses above the least"):
        plot_error_against_training_time(once)
    error = xr.Dataset(
        {name: (("elapsed", "time"), [[0.1]]) for name in ("value", "standard_error")},
        {"elapsed": [1.0], "time": [1.0]},
    )
    assert len(plot_error_against_training_time(once, error).axes) == 1


def test_a_run_draws_the_figures_that_apply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--simulate.paths=1024", "--simulate.duration=1.0", "--simulate.dt=0.01", "--simulate.save_every=25"]
    words += ["--fit.objective", "{name: local-denoising, lag: 0.2}", "--fit.training.steps=2"]
    words += ["--fit.training.validate_every=1", "--fit.training.snapshots=3"]
    words += ["--fit.training.batch=32", "--fit.training.first_time=0.5", "--compare.times", "[0.5, 1.0]"]
    words += ["--compare.references", "[{name: gaussian-fit, paths: 256}]", "--compare.quantities", "null"]
    words += ["--compare.reversal.times", "null", "--compare.paths=300", "--compare.blocks=4"]
    drawn: set[str] = set()
    monkeypatch.setattr("analysis.plots.run.save_figure", lambda figure, path: drawn.add(path.stem))
    assert main(["run", "active-swimmer", *words, "--out", str(tmp_path / "run")]) == 0
    always = {"trajectories", "loss_history", "error_against_training_time", "reliability"}
    assert always | {"score_difference_gaussian-fit", "probability_current_t1"} <= drawn
    assert not {"entropy_production", "reversed_samples"} & drawn  # infinite, and not asked for
    fallen = read_tree(tmp_path / "run" / "comparison.nc")[TRAINING_ERRORS].to_dataset()
    np.testing.assert_array_equal(fallen["step"], [1, 2])
    assert (np.diff(fallen["elapsed"]) > 0).all()
    assert (fallen["value"].sel(time=[0.5, 1.0]) > 0).all()
    assert (fallen["standard_error"].sel(time=[0.5, 1.0]) > 0).all()
