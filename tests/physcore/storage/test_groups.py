"""Files with groups are read whole, whoever wrote them and whether or not their times agree."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from physcore.errors import DataFileError
from physcore.storage.netcdf import read_groups, write_dataset


def rates(times: list[float]) -> xr.Dataset:
    return xr.Dataset({"value": ("time", np.square(times))}, {"time": ("time", times, {"units": "s"})})


def test_a_file_without_groups_has_its_root(tmp_path: Path) -> None:
    write_dataset(rates([1.0, 2.0]), tmp_path / "plain.nc")
    groups = read_groups(tmp_path / "plain.nc")
    assert list(groups) == ["/"]
    xr.testing.assert_identical(groups["/"], rates([1.0, 2.0]))


def test_groups_may_have_other_times_than_the_root(tmp_path: Path) -> None:
    write_dataset(rates([1.0, 2.0, 3.0]), tmp_path / "file.nc")
    rates([2.5]).to_netcdf(tmp_path / "file.nc", mode="a", group="physics/entropy")
    groups = read_groups(tmp_path / "file.nc")
    assert list(groups) == ["/", "/physics", "/physics/entropy"]
    xr.testing.assert_identical(groups["/physics/entropy"], rates([2.5]))


def test_a_group_of_a_tree_has_the_coordinates_above_it(tmp_path: Path) -> None:
    inner = rates([1.0, 2.0])
    tree = xr.DataTree.from_dict({"/": inner, "/below/deep": inner.drop_vars("time")})
    tree.to_netcdf(tmp_path / "tree.nc")
    xr.testing.assert_identical(read_groups(tmp_path / "tree.nc")["/below/deep"], inner)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.nc").write_bytes(b"\x89HDF\r\n")
    with pytest.raises(DataFileError, match=r"bad\.nc"):
        read_groups(tmp_path / "bad.nc")
