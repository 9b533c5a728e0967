"""Any Dataset of values and standard errors as tables."""

import numpy as np
import xarray as xr

from analysis.report.tables import dataset_tables


def estimates(**sizes: int) -> xr.Dataset:
    """Return values and standard errors, the number of an entry and a tenth."""
    values = np.arange(np.prod([*sizes.values()], dtype=int), dtype=float).reshape(tuple(sizes.values()))
    dataset = xr.Dataset(
        {
            "value": (tuple(sizes), values, {"long_name": "entropy production rate", "units": "1 / s"}),
            "standard_error": (tuple(sizes), np.full_like(values, 0.1)),
        }
    )
    if "time" in sizes:
        dataset = dataset.assign_coords(time=("time", np.arange(sizes["time"]) / 2, {"units": "s"}))
    return dataset


def test_rows_are_times_and_columns_the_short_dimension() -> None:
    dataset = estimates(quantity=3, time=2).assign_coords(quantity=["total", "medium", "system"])
    tables = dataset_tables(dataset)
    (table,) = tables.shown
    assert table.caption == "Entropy production rate [1 / s]"
    assert table.columns == ["time [s]", "total", "medium", "system"]
    assert table.rows == [
        ("0", ["0.00 ± 0.10", "2.00 ± 0.10", "4.00 ± 0.10"]),
        ("0.5", ["1.00 ± 0.10", *table.rows[1][1][1:]]),
    ]
    assert (tables.further, tables.untabulated) == ([], [])


def test_a_dimension_more_makes_a_table_for_each_of_its_places() -> None:
    dataset = estimates(reference=2, selection=2, time=3).assign_coords(reference=["exact", "fit"])
    captions = [table.caption for table in dataset_tables(dataset).shown]
    assert captions == [
        "Entropy production rate [1 / s], reference exact",
        "Entropy production rate [1 / s], reference fit",
    ]


def test_the_times_asked_for_are_shown_and_all_of_them_below() -> None:
    tables = dataset_tables(estimates(time=100), times=[1.0, 49.4])
    assert [name for name, _ in tables.shown[0].rows] == ["1", "49.5"]
    assert len(tables.further[0].rows) == 100
    assert tables.further[0].caption == "Entropy production rate [1 / s], all rows"
    assert [name for name, _ in dataset_tables(estimates(time=100)).shown[0].rows][-1] == "49.5"


def test_very_many_rows_are_thinned_and_that_is_said() -> None:
    table = dataset_tables(estimates(time=5000)).further[0]
    assert len(table.rows) == 200
    assert table.note.startswith("200 of 5000 rows")


def test_very_many_columns_are_cut_and_that_is_said() -> None:
    (table,) = dataset_tables(estimates(time=2, selection=102)).shown
    assert len(table.columns) == 1 + 8
    assert table.note == "94 more along selection in the file."


def test_a_field_on_a_grid_is_named_and_not_tabulated() -> None:
    tables = dataset_tables(estimates(direction=2, time=3, x=40, y=40))
    assert tables.shown == []
    assert tables.untabulated == ["Entropy production rate [1 / s]: 2 direction × 3 time × 40 x × 40 y"]


def test_what_is_a_part_of_another_is_in_percent() -> None:
    relative = {"long_name": "relative score error", "units": "1"}
    dataset = estimates(time=1)
    dataset["value"] = ("time", [0.5], relative)
    (table,) = dataset_tables(dataset).shown
    assert table.caption == "Relative score error [%]"
    assert table.rows == [("0", ["50 ± 10"])]


def test_other_variables_and_errors_named_after_them_are_found() -> None:
    dataset = xr.Dataset(
        {
            "density": ("x", [0.5, np.nan]),
            "density_standard_error": ("x", [0.1, np.nan]),
            "trained": ("x", np.array([1, 0], dtype=np.int8)),
            "label": ("x", ["a", "b"]),
            "total": ((), 3.0),
        },
        {"x": [-1.0, 1.0]},
    )
    tables = dataset_tables(dataset)
    (density,) = tables.shown
    assert density.rows == [("−1", ["0.50 ± 0.10"]), ("1", [None])]
    trained, total = tables.further
    assert trained.rows == [("−1", ["1"]), ("1", ["0"])]
    assert total.rows == [("", ["3"])]
    assert total.columns == ["", "value"]


def test_an_empty_dataset_has_no_tables() -> None:
    tables = dataset_tables(xr.Dataset())
    assert (tables.shown, tables.further, tables.untabulated) == ([], [], [])
