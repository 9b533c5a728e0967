"""A run is opened from its manifest and few files; a bad file is an error that names it, at the latest when read."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr

from physcore import open_run
from physcore.errors import DataFileError
from physcore.storage import RunFolder
from simulations import ActiveBrownianParticles, ActiveSwimmer, simulate

SETTINGS: dict[str, Any] = {"paths": 2500, "duration": 1.0, "dt": 0.02, "save_every": 5, "start": 0.5, "seed": 1}
CUT: dict[str, Any] = {"paths_per_block": 1024, "frames_per_segment": 4}


@pytest.fixture(scope="module")
def memory() -> xr.Dataset:
    return simulate(ActiveSwimmer(), **SETTINGS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in 3 blocks of 3 segments."""
    run = tmp_path_factory.mktemp("made") / "run"
    simulate(ActiveSwimmer(), **SETTINGS, **CUT, out=run)
    return run


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize(
    "part",
    [
        {},
        {"path": slice(16)},
        {"time": 5},
        {"time": [1, 8], "path": 2100},
        {"path": slice(2200, 300, -3), "time": slice(2, 9, 2)},
        {"path": slice(0)},
        {"path": [5, 2499, 1]},
    ],
    ids=str,
)
def test_any_part_of_a_run_is_read_as_it_was_computed(made: Path, memory: xr.Dataset, part: dict[str, Any]) -> None:
    opened = open_run(made)
    assert opened["x"].dims == memory["x"].dims == ("path", "time")
    xr.testing.assert_equal(opened.isel(part).load(), memory.isel(part))


def test_nothing_is_read_before_it_is_asked_for(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, real = [], netCDF4.Dataset

    def noted(path: Path, *arguments: Any, **options: Any) -> Any:
        opened.append(Path(path).name)
        return real(path, *arguments, **options)

    monkeypatch.setattr("physcore.storage.netcdf.netCDF4.Dataset", noted)
    dataset = open_run(run)
    assert opened == [f"block00000-segment{segment:04d}.nc" for segment in range(3)]
    opened.clear()
    dataset["v"].isel(path=slice(1024, 1030), time=[4]).load()
    assert opened == ["block00001-segment0001.nc"]


def test_a_run_of_many_particles_keeps_their_dimension(tmp_path: Path) -> None:
    process = ActiveBrownianParticles(particles=3)
    settings = {**SETTINGS, "paths": 1500, "dt": 0.01}
    memory = simulate(process, **settings)
    opened = simulate(process, **settings, **CUT, out=tmp_path / "run")
    assert {*opened.dims} == {"path", "time", "particle"}
    xr.testing.assert_equal(opened.load(), memory)


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    place = content.find(simulate(ActiveSwimmer(), **SETTINGS)["v"][1100:1110, 5].values.tobytes())
    assert place > 0
    content[place] ^= 1
    path.write_bytes(content)


def of_another_place(path: Path) -> None:
    shutil.copy(path.with_name("block00000-segment0001.nc"), path)


def of_another_time(path: Path) -> None:
    shutil.copy(path.with_name("block00001-segment0000.nc"), path)


def without_variable(path: Path) -> None:
    xr.load_dataset(path, decode_times=False).drop_vars("v").to_netcdf(path)


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("x,v\n1,2\n"),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "flipped": flipped,
    "another-place": of_another_place,
    "another-time": of_another_time,
    "no-variable": without_variable,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_c1_c2_c3_c5_a_bad_segment_is_named_when_it_is_read(run: Path, damage: str) -> None:
    path = RunFolder(run).segment(1, 1)
    DAMAGES[damage](path)
    with pytest.raises(DataFileError, match=path.name):
        open_run(run)["v"].isel(path=slice(1024, 2048)).load()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_segment_that_goes_bad_after_opening_is_named_too(run: Path, damage: str) -> None:
    path, opened = RunFolder(run).segment(1, 1), open_run(run)
    DAMAGES[damage](path)
    with pytest.raises(DataFileError, match=path.name):
        opened["v"].load()
    assert np.isfinite(opened["v"].isel(path=slice(0, 1024))).all()


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "half", "another-time"])
def test_a_bad_segment_of_the_first_block_is_named_when_the_run_is_opened(run: Path, damage: str) -> None:
    path = RunFolder(run).segment(0, 1)
    if damage == "another-time":
        shutil.copy(RunFolder(run).segment(0, 0), path)
    else:
        DAMAGES[damage](path)
    with pytest.raises(DataFileError, match="time" if damage == "another-time" else path.name):
        open_run(run)


@pytest.mark.parametrize(("key", "value"), [("paths", 5000), ("paths", "many"), ("paths_per_block", 0)], ids=str)
def test_c11_a_manifest_whose_sizes_disagree_is_named(run: Path, key: str, value: Any) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["simulation"][key] = value
    (run / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataFileError, match=r"manifest\.json"):
        open_run(run)


def test_chunks_fit_the_cache_and_are_whole_along_the_paths(made: Path) -> None:
    with netCDF4.Dataset(RunFolder(made).segment(0, 0)) as file:
        assert file["x"].chunking() == [4, 1024]
    from physcore.storage.netcdf import _chunk

    assert _chunk((101, 8192), 4) == (8, 8192)
    assert _chunk((50, 101, 8192), 4) == (1, 8, 8192)
    assert _chunk((3, 200_000), 8) == (1, 32768)
    assert _chunk((2,), 8) == (2,)
