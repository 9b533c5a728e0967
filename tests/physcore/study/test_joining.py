"""Joining cells that hold different things."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from physcore.storage import Manifest, write_dataset
from physcore.study import Cell, Grid, Study, StudyFolder, joined_study, open_study

STUDY = Study(run="double-well", axes={"lag": {"fit.objective.lag": [0.1, 0.2]}, "seed": [5, 6]})


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    made = StudyFolder(tmp_path / "study")
    made.claim()
    made.begin(STUDY, [{"host": "here", "pid": 1}])
    return made


def finish(folder: StudyFolder, name: str, comparison: xr.Dataset | None, elapsed: float | None = None) -> None:
    """Make a cell's results and say in its manifest that they are there."""
    cell = folder.cell(name)
    cell.path.mkdir()
    stages: dict[str, dict[str, Any]] = {}
    if elapsed is not None:
        stages["fit"] = {}
        names = ("training_loss", "validation_loss", "validation_standard_error", "elapsed")
        columns = {column: ("step", [0.0, elapsed if column == "elapsed" else 2.5]) for column in names}
        write_dataset(xr.Dataset(columns, {"step": [0, 30]}), cell.history)
    if comparison is not None:
        stages["compare"] = {}
        write_dataset(comparison, cell.comparison)
    manifest = Manifest(process="p", parameters={}, seed="1", simulation={}, blocks=0, segments=0)
    dataclasses.replace(manifest, stages=stages).write(cell.path)


def comparison(value: float, times: list[float], selections: list[str], **more: Any) -> xr.Dataset:
    shape = (len(selections), len(times))
    dims = ("selection", "time")
    return xr.Dataset(
        {
            "value": (dims, np.full(shape, value), {"units": "1"}),
            "trained": ("time", np.ones(len(times), np.int8)),
            **more,
        },
        {"selection": selections, "time": ("time", times, {"units": "s"})},
        {"process": "p", "blocks": 4},
    )


def joined(folder: StudyFolder, names: list[str], failed: list[str] | None = None) -> tuple[xr.Dataset, list[Cell]]:
    grid = STUDY.grid
    done = [cell for cell in grid.cells() if cell.name in names]
    study, damaged = joined_study(grid, folder, done, failed or [])
    return study, [cell for cell, _ in damaged]


def test_cells_lie_at_their_labels_and_missing_ones_are_nan_and_marked(folder: StudyFolder) -> None:
    finish(folder, "lag=0.1,seed=6", comparison(3.0, [0.5, 1.0], ["full", "x"]), elapsed=7.0)
    study, _ = joined(folder, ["lag=0.1,seed=6"], failed=["lag=0.2,seed=5"])
    assert dict(study.sizes) == {"lag": 2, "seed": 2, "selection": 2, "time": 2}
    assert study["value"].dims == ("lag", "seed", "selection", "time")
    assert (study["value"].sel(lag=0.1, seed=6) == 3).all()
    assert int(study["value"].notnull().sum()) == 4
    assert float(study["training_time"].sel(lag=0.1, seed=6)) == 7
    assert float(study["training_steps"].sel(lag=0.1, seed=6)) == 30
    assert float(study["validation_loss"].sel(lag=0.1, seed=6)) == 2.5
    assert study["training_time"].attrs["units"] == "s"
    assert study["time"].attrs["units"] == "s"
    assert study["value"].attrs["units"] == "1"
    assert study["state"].values.tolist() == [[0, 1], [2, 0]]
    assert study["state"].attrs["flag_meanings"].split()[2] == "failed"
    assert study["directory"].sel(lag=0.2, seed=5) == "lag=0.2,seed=5"
    assert study["lag"].attrs["keys"] == "fit.objective.lag"
    assert np.isnan(study["trained"].sel(lag=0.2)).all()


def test_coordinates_of_all_cells_are_there_once_and_rounding_does_not_part_them(folder: StudyFolder) -> None:
    finish(folder, "lag=0.1,seed=5", comparison(1.0, [0.1 + 0.2, 1.0], ["full", "x"]))
    finish(folder, "lag=0.2,seed=5", comparison(2.0, [0.3, 0.5], ["full", "x", "v"]))
    study, _ = joined(folder, ["lag=0.1,seed=5", "lag=0.2,seed=5"])
    np.testing.assert_allclose(study["time"], [0.3, 0.5, 1.0])
    assert study["selection"].values.tolist() == ["full", "x", "v"]
    value = study["value"].sel(seed=5)
    assert value.sel(lag=0.1, selection="full").values.tolist() == pytest.approx([1, np.nan, 1], nan_ok=True)
    assert value.sel(lag=0.2, selection="v").values.tolist() == pytest.approx([2, 2, np.nan], nan_ok=True)
    assert value.sel(lag=0.1, selection="v").isnull().all()


def test_whatever_a_comparison_holds_is_joined(folder: StudyFolder) -> None:
    more = {
        "rate": (("quantity", "time"), np.ones((2, 1)), {"long_name": "a rate"}),
        "whole": ((), 4.0),
        "bins": (("bin",), np.arange(3.0)),
        "note": ("time", ["words"]),
        "seed": ("time", [9.0]),
    }
    given = comparison(1.0, [1.0], ["full"], **more).assign_coords(quantity=["total", "medium"])
    finish(folder, "lag=0.1,seed=5", given)
    finish(folder, "lag=0.1,seed=6", comparison(1.0, [1.0], ["full"]))
    study, damaged = joined(folder, ["lag=0.1,seed=5", "lag=0.1,seed=6"])
    assert not damaged
    assert study["rate"].dims == ("lag", "seed", "quantity", "time")
    assert study["rate"].attrs["long_name"] == "a rate"
    assert float(study["rate"].sel(lag=0.1, seed=5, quantity="medium", time=1.0)) == 1
    assert study["rate"].sel(seed=6).isnull().all()
    assert float(study["whole"].sel(lag=0.1, seed=5)) == 4
    assert study["bins"].sel(lag=0.1, seed=5).values.tolist() == [0, 1, 2]
    assert study["note"].sel(lag=0.1, seed=5).values.tolist() == ["words"]
    assert study["note"].sel(lag=0.1, seed=6).values.tolist() == [""]
    # What bears the name of an axis is kept under another one.
    assert float(study["seed_of_run"].sel(lag=0.1, seed=5).squeeze()) == 9
    assert study["seed"].values.tolist() == [5, 6]


def test_a_damaged_file_costs_its_own_cell_alone(folder: StudyFolder) -> None:
    for seed in (5, 6):
        finish(folder, f"lag=0.1,seed={seed}", comparison(1.0, [1.0], ["full"]))
    folder.cell("lag=0.1,seed=6").comparison.write_bytes(b"no netCDF")
    study, damaged = joined(folder, ["lag=0.1,seed=5", "lag=0.1,seed=6"])
    assert [cell.name for cell in damaged] == ["lag=0.1,seed=6"]
    assert study["state"].sel(lag=0.1).values.tolist() == [1, 2]
    assert float(study["value"].sel(lag=0.1, seed=5).squeeze()) == 1
    assert study["value"].sel(lag=0.1, seed=6).isnull().all()


def test_a_study_without_results_has_its_axes_and_survives_the_file(folder: StudyFolder) -> None:
    study, _ = joined(folder, [])
    assert not study["state"].any()
    write_dataset(study, folder.joined)
    read = open_study(folder.path)
    xr.testing.assert_equal(read, study)
    assert json.loads(read.attrs["axes"]) == STUDY.axes
    assert json.loads(read.attrs["run"]) == "double-well"
    assert {"torch", "physcore"} <= json.loads(read.attrs["versions"]).keys()
    assert "4 cells on 1 ranks" in read.attrs["history"]


def test_what_varies_beside_the_labels_is_a_coordinate(folder: StudyFolder) -> None:
    axes = {
        "way": {"a": {"fit.objective": {"name": "x"}, "fit.training.steps": 5}, "b": {"fit.training.steps": 6}},
        "size": {"fit.training.batch": [8, 16], "fit.training.warm_up": [1, 2]},
    }
    study, _ = joined_study(Grid.parsed("double-well", axes), folder, [], [])
    assert study["fit.training.steps"].dims == ("way",)
    assert study["fit.training.steps"].values.tolist() == [5, 6]
    assert study["fit.objective"].values.tolist() == ['{"name": "x"}', ""]
    assert study["fit.training.warm_up"].sel(size=16) == 2
    assert "fit.training.batch" not in study.coords
