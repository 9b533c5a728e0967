"""Axes and grids: what a study's file stands for, and what is refused."""

from typing import Any

import pytest

from physcore.study import Axis, Grid

RUN: dict[str, Any] = {
    "process": "ornstein-uhlenbeck",
    "simulate": {"paths": 2048},
    "fit": {"objective": {"name": "local-denoising", "lag": 0.2}},
}


def grid(axes: dict[str, Any], run: str | dict[str, Any] = "double-well") -> Grid:
    return Grid.parsed(run, axes)


def test_a_list_varies_the_key_of_its_name() -> None:
    axis = Axis.parsed("seed", [1, 2])
    assert (axis.labels, axis.points) == ((1, 2), ({"seed": 1}, {"seed": 2}))
    assert axis.numeric


def test_keys_of_one_axis_vary_together_and_the_first_gives_the_labels() -> None:
    axis = Axis.parsed("size", {"fit.training.batch": [32, 64], "fit.training.steps": [100, 200]})
    assert axis.labels == (32, 64)
    assert axis.points[1] == {"fit.training.batch": 64, "fit.training.steps": 200}
    assert axis.keys == ("fit.training.batch", "fit.training.steps")


def test_parts_are_labelled_by_their_name_and_words_by_themselves() -> None:
    parts = [{"name": "local-denoising", "lag": 0.1}, {"name": "implicit-score-matching"}]
    assert Axis.parsed("objective", {"fit.objective": parts}).labels == ("local-denoising", "implicit-score-matching")
    assert Axis.parsed("way", {"fit.training.patience": [None, 3]}).labels == ("null", "3")
    assert Axis.parsed("way", {"fit.training.compile": [True, False]}).labels == ("true", "false")


def test_points_by_label_set_what_they_like() -> None:
    points = {"short": {"fit.objective.lag": 0.1}, "long": {"fit.objective.lag": 0.4, "fit.training.steps": 9}}
    axis = Axis.parsed("way", points)
    assert axis.labels == ("short", "long")
    assert axis.points == tuple(points.values())
    assert axis.keys == ("fit.objective.lag", "fit.training.steps")


@pytest.mark.parametrize(
    ("name", "given", "part"),
    [
        ("fit.objective.lag", [0.1], r"write lag: \{fit.objective.lag"),
        ("reference", {"compare.references": [[]]}, "label"),
        ("reference", [1], r"`compare.references`"),
        ("time", {"fit.objective.lag": [0.1]}, "'time'"),
        ("seed", [], "one value"),
        ("seed", {}, "must be a list"),
        ("seed", 3, "must be a list"),
        ("seed", [1, 2, 1], "1 twice"),
        ("lag", {"fit.objective.lag": [0.1, 0.10]}, "0.1 twice"),
        ("lag", {"fit.objective.lag": [1, 1.0]}, "twice"),
        ("size", {"fit.training.batch": [1, 2], "fit.training.steps": [1]}, "as many values"),
        ("size", {"fit.training.batch": [1], "fit.training.steps": 1}, "a list of values for each key"),
        ("way", {"a": {"seed": 1}, "b": [2]}, "a list of values for each key"),
        ("way", {"a": {}}, "sets nothing"),
        ("way", {"a/b": {"seed": 1}}, "'a/b'"),
        ("way", {"..": {"seed": 1}}, "'..'"),
        ("process", ["../../x"], "labels are"),
        ("lags", {"fit.objective.lag": [[1, 2]]}, "needs a label"),
        ("out", ["a", "b"], "`out`"),
        ("threads", [1, 2], "`threads`"),
    ],
)
def test_an_axis_that_cannot_be_is_refused(name: str, given: Any, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        Axis.parsed(name, given)


def test_a_grid_has_a_cell_for_each_combination_named_by_its_labels() -> None:
    made = grid({"lag": {"fit.objective.lag": [0.1, 0.2]}, "seed": [1, 2, 3]})
    cells = made.cells()
    assert (made.shape, made.size, len(cells)) == ((2, 3), 6, 6)
    assert [cell.index for cell in cells] == [(i, j) for i in range(2) for j in range(3)]
    assert cells[4].name == "lag=0.2,seed=2"
    assert made.labels(cells[4]) == {"lag": "0.2", "seed": "2"}
    assert cells[4].configuration["seed"] == 2
    assert cells[4].configuration["fit"]["objective"]["lag"] == 0.2
    assert {"simulate", "fit", "compare"} <= cells[4].configuration.keys()


def test_each_process_brings_its_own_default_run_and_the_settings_of_the_run_lie_on_top() -> None:
    run = {"process": "double-well", "simulate": {"paths": 2048}, "fit": {}, "compare": {}}
    cells = grid({"process": ["double-well", "duffing"]}, run).cells()
    assert [cell.configuration["process"] for cell in cells] == ["double-well", "duffing"]
    assert [cell.configuration["simulate"]["paths"] for cell in cells] == [2048, 2048]
    assert cells[0].configuration["simulate"]["duration"] != cells[1].configuration["simulate"]["duration"]


def test_a_part_is_replaced_before_what_is_inside_it_in_any_order_of_the_axes() -> None:
    lag = {"lag": {"fit.objective.lag": [0.3]}}
    method = {"method": {"fit.objective": [{"name": "exact-denoising"}]}}
    for axes in (lag | method, method | lag):
        (cell,) = grid(axes, RUN).cells()
        assert cell.configuration["fit"]["objective"] == {"name": "exact-denoising", "lag": 0.3}


def test_a_stage_that_the_run_leaves_out_cannot_be_varied() -> None:
    assert "compare" not in grid({"seed": [1]}, RUN).cells()[0].configuration
    with pytest.raises(ValueError, match="no such stage"):
        grid({"paths": {"compare.paths": [100]}}, RUN).cells()


def test_cells_that_differ_in_the_comparison_alone_have_their_trunk_in_common() -> None:
    cells = grid({"blocks": {"compare.blocks": [8, 16]}, "seed": [1, 2]}).cells()
    assert cells[0].trunk == cells[2].trunk
    assert cells[0].trunk != cells[1].trunk


@pytest.mark.parametrize(
    ("axes", "run", "part"),
    [
        ({}, "double-well", "`axes`"),
        ({"seed": [1]}, "", "`run`"),
        ({"a": {"fit.objective.lag": [1]}, "b": {"fit.objective.lag": [2]}}, "double-well", "more than one axis"),
        ({"seed": list(range(400)), "b": {"simulate.paths": list(range(300))}}, "double-well", "120000 cells"),
        ({"seed": [1]}, "duble-well", "did you mean 'double-well'"),
        ({"seed": [1]}, {"simulate": {}}, "`process`"),
        ({"way": {"x" * 250: {"seed": 1}}}, "double-well", "200 characters"),
    ],
    ids=["no-axes", "no-run", "twice", "large", "process", "no-process", "long"],
)
def test_a_grid_that_cannot_be_is_refused(axes: dict[str, Any], run: Any, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        Grid.parsed(run, axes).cells()
