"""Faults C: data files that are missing, damaged, or not what they should be."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from physcore import open_run
from physcore.errors import DataFileError, NumericalError
from physcore.score import LocalDenoising, Training, fit
from physcore.storage import read_dataset, write_dataset
from physcore.trajectory import frames, trajectory_dataset, validated_trajectories
from simulations import ActiveSwimmer, simulate

Run = Callable[..., Any]
SWIMMER = ActiveSwimmer()
TINY = Training(steps=2, batch=8, validate_every=2)


@pytest.fixture(scope="module")
def data() -> xr.Dataset:
    return simulate(SWIMMER, paths=200, duration=1.0, dt=0.02, save_every=5, seed=1)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    simulate(SWIMMER, paths=1500, duration=1.0, dt=0.02, save_every=5, seed=1, out=tmp_path / "run")
    return tmp_path / "run"


CONTENTS = {
    "empty": b"",
    "text": b"time,x,v\n0,1,2\n",
    "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "garbage": bytes(random.Random(1).randbytes(5000)),
    "hdf5-signature": b"\x89HDF\r\n\x1a\n" + bytes(200),
}


@pytest.mark.parametrize("kind", [*CONTENTS, "directory", "missing", "fifo"])
def test_c1_what_is_no_data_file_is_one_class_of_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "data.nc"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind != "missing":
        path.write_bytes(CONTENTS[kind])
    with pytest.raises(DataFileError, match=r"data\.nc"):
        read_dataset(path)


@pytest.mark.parametrize("kind", CONTENTS)
def test_c1_a_manifest_that_is_none_is_one_line(command: Run, run: Path, kind: str) -> None:
    (run / "manifest.json").write_bytes(CONTENTS[kind])
    for words in (["fit", run], ["compare", run], ["simulate", "active-swimmer", "--out", run]):
        command(*words).check_error(3, "manifest.json")


@pytest.mark.parametrize("text", ["[]", "3", "null", '{"format_version": 1}', '{"format_version": 1, "extra": 2}'])
def test_c11_a_manifest_without_its_entries_is_one_line(command: Run, run: Path, text: str) -> None:
    (run / "manifest.json").write_text(text)
    command("fit", run).check_error(3, "manifest.json")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("blocks", "many"),
        ("segments", -1),
        ("seed", "x"),
        ("checksums", 3),
        ("process", 3),
        ("stages", []),
        ("history", 7),
    ],
    ids=str,
)
def test_c11_a_manifest_with_an_entry_of_the_wrong_type_is_one_line(
    command: Run, run: Path, key: str, value: Any
) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, key: value}))
    command("fit", run).check_error(3, "manifest.json")


def test_c1_a_directory_that_is_no_run_is_one_line(command: Run, tmp_path: Path) -> None:
    command("fit", tmp_path).check_error(3, "no run")
    command("fit", tmp_path / "missing").check_error(3, "no run")
    with pytest.raises(DataFileError, match="no run"):
        open_run(tmp_path)


@pytest.mark.parametrize("part", [0.5, 0.9, -1])
def test_c2_a_truncated_file_is_said_to_be_truncated(data: xr.Dataset, tmp_path: Path, part: float) -> None:
    path = tmp_path / "data.nc"
    write_dataset(data, path)
    content = path.read_bytes()
    path.write_bytes(content[: part if part == -1 else int(part * len(content))])
    with pytest.raises(DataFileError, match="truncated"):
        read_dataset(path)


def test_c3_a_flipped_bit_is_never_read_as_a_number(data: xr.Dataset, tmp_path: Path) -> None:
    path = tmp_path / "data.nc"
    write_dataset(data, path)
    content, noticed, places = path.read_bytes(), 0, random.Random(3)
    for _ in range(60):
        place = places.randrange(len(content))
        flipped = bytearray(content)
        flipped[place] ^= 1 << places.randrange(8)
        path.write_bytes(flipped)
        try:
            read = read_dataset(path)
        except DataFileError:
            noticed += 1
            continue
        for name in ("x", "v", "time"):
            if name in read:
                np.testing.assert_array_equal(read[name].values, data[name].values, err_msg=f"byte {place}")
    assert noticed > 20


def test_c3_every_array_carries_a_checksum(data: xr.Dataset, tmp_path: Path) -> None:
    write_dataset(data, tmp_path / "data.nc")
    with xr.open_dataset(tmp_path / "data.nc", decode_times=False) as read:
        assert all(read[name].encoding["fletcher32"] for name in ("x", "v", "time", "path"))


def test_c4_a_netcdf_3_file_is_read(data: xr.Dataset, tmp_path: Path) -> None:
    data.drop_vars("path").to_netcdf(tmp_path / "data.nc", format="NETCDF3_64BIT")
    read = read_dataset(tmp_path / "data.nc")
    assert torch.equal(frames(SWIMMER, read), frames(SWIMMER, data))


def test_a_dataset_survives_writing_and_reading(data: xr.Dataset, tmp_path: Path) -> None:
    write_dataset(data, tmp_path / "data.nc")
    xr.testing.assert_identical(read_dataset(tmp_path / "data.nc"), data)


def check_refused(dataset: xr.Dataset, *parts: str, error: type[Exception] = DataFileError) -> None:
    """Both the check and the verb that needs the data refuse it, and say why."""
    with pytest.raises(error) as caught:
        frames(SWIMMER, dataset)
    assert all(part in str(caught.value) for part in parts), caught.value
    with pytest.raises(error):
        fit(SWIMMER, dataset, objective=LocalDenoising(lag=0.3), training=TINY, seed=1)


def test_c5_missing_variables_and_dimensions_are_named_with_what_is_there(data: xr.Dataset) -> None:
    check_refused(data.drop_vars("v"), "'v'", "'x'", "ActiveSwimmer")
    check_refused(data.rename(x="position"), "'x'", "position")
    check_refused(data.rename(path="walker"), "path", "walker")
    check_refused(data.rename(time="frame"), "time", "frame")
    check_refused(data.expand_dims(particle=2), "particle")
    check_refused(data.drop_vars("time"), "`time`")
    check_refused(xr.Dataset(), "'x'", "'v'")


def test_c5_transposed_dimensions_and_further_variables_are_handled_by_name(data: xr.Dataset) -> None:
    turned = data.transpose("time", "path").assign(extra=3.0)[["v", "extra", "x"]]
    assert torch.equal(frames(SWIMMER, turned), frames(SWIMMER, data))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_c6_states_that_are_not_finite_are_counted_and_placed(data: xr.Dataset, bad: float) -> None:
    broken = data.copy(deep=True)
    broken["v"][7, 3] = bad
    broken["x"][9, 4] = bad
    check_refused(broken, "2 states", "time 0.3", "path index 7", error=NumericalError)


def test_c6_fill_values_are_not_numbers(data: xr.Dataset, tmp_path: Path) -> None:
    broken = data.copy(deep=True)
    broken["v"][7, 3] = np.nan
    broken.to_netcdf(tmp_path / "data.nc", encoding={"v": {"_FillValue": -9999.0}})
    check_refused(read_dataset(tmp_path / "data.nc"), "path index 7", error=NumericalError)


def test_c6_a_state_that_overflows_single_precision_is_noticed(data: xr.Dataset) -> None:
    broken = data.astype(np.float64)
    broken["v"][7, 3] = 1e300
    with pytest.raises(NumericalError, match="path index 7"):
        frames(SWIMMER, broken)


def with_times(data: xr.Dataset, times: Any) -> xr.Dataset:
    return data.assign_coords(time=("time", np.asarray(times)))


def test_c7_times_that_do_not_increase_are_refused_with_the_index(data: xr.Dataset) -> None:
    times = data["time"].values
    check_refused(data.isel(time=slice(None, None, -1)), "`time`", "index 1")
    check_refused(with_times(data, [*times[:4], times[3], *times[5:]]), "`time`", "index 4")
    check_refused(with_times(data, [*times[:4], np.nan, *times[5:]]), "`time`", "index 4")


def test_c7_no_paths_no_frames_and_one_frame_are_refused(data: xr.Dataset) -> None:
    check_refused(data.isel(path=slice(0)), "empty")
    check_refused(data.isel(time=slice(0)), "empty")
    with pytest.raises(DataFileError, match="lag"):
        fit(SWIMMER, data.isel(time=[0]), objective=LocalDenoising(lag=0.3), training=TINY, seed=1)


def test_c7_uneven_times_are_allowed_where_the_lag_can_be_kept(data: xr.Dataset) -> None:
    uneven = data.isel(time=[0, 1, 3, 4, 7, 10])
    fit(SWIMMER, uneven, objective=LocalDenoising(lag=0.3), training=TINY, seed=1)


@pytest.mark.parametrize("dtype", ["float16", "int32", "complex64", "U5", "bool"])
def test_c9_a_dtype_that_is_no_real_number_of_enough_digits_is_refused(data: xr.Dataset, dtype: str) -> None:
    check_refused(data.assign(x=data["x"].astype(dtype)), "'x'", str(np.dtype(dtype)))


def test_c11_attributes_are_not_needed(data: xr.Dataset) -> None:
    bare = data.copy()
    bare.attrs = {}
    for name in bare.variables:
        bare[name].attrs = {}
    fit(SWIMMER, bare, objective=LocalDenoising(lag=0.3), training=TINY, seed=1)


def test_c13_a_run_of_a_newer_format_says_to_use_the_newer_package(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "format_version": 2}))
    with pytest.raises(DataFileError, match="package"):
        open_run(run)


def test_a_block_of_another_run_is_noticed(run: Path, tmp_path: Path) -> None:
    simulate(SWIMMER, paths=1500, duration=1.0, dt=0.02, save_every=5, seed=2, out=tmp_path / "other")
    name = Path("trajectories") / "block00000-segment0000.nc"
    shutil.copy(tmp_path / "other" / name, run / name)
    from physcore.storage import RunFolder

    with pytest.raises(DataFileError, match=name.name):
        RunFolder(run).verify()


def test_creators_are_strict() -> None:
    states, times, paths = np.zeros((2, 3, 4)), np.arange(3.0), np.arange(4)
    assert dict(trajectory_dataset(SWIMMER, states, times, paths, {}).sizes) == {"path": 4, "time": 3}
    with pytest.raises(ValueError, match="shape"):
        trajectory_dataset(SWIMMER, states.swapaxes(1, 2), times, paths, {})
    with pytest.raises(ValueError, match="increase"):
        trajectory_dataset(SWIMMER, states, times[::-1], paths, {})


def test_attributes_that_netcdf_cannot_hold_are_stored_as_text(tmp_path: Path) -> None:
    states = np.zeros((2, 3, 4))
    given = {"none": None, "flag": True, "mapping": {"a": [1]}, "text": "x", "number": 2.5, "big": 2**70}
    dataset = trajectory_dataset(SWIMMER, states, np.arange(3.0), np.arange(4), given)
    write_dataset(dataset, tmp_path / "data.nc")
    attributes = read_dataset(tmp_path / "data.nc").attrs
    assert json.loads(attributes["none"]) is None
    assert json.loads(attributes["mapping"]) == {"a": [1]}
    assert attributes["flag"] == 1
    assert attributes["number"] == 2.5
    assert int(attributes["big"]) == 2**70


def test_validated_trajectories_leave_their_input_untouched(data: xr.Dataset) -> None:
    kept = data.copy(deep=True)
    validated_trajectories(SWIMMER, data)
    frames(SWIMMER, data)
    xr.testing.assert_identical(data, kept)
