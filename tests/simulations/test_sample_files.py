"""Samples in files: each kind read back as it was written, and what is none refused by the name of the file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from physcore.errors import DataFileError
from simulations import NoisedSamples
from simulations.sample_files import SampleFile

ROWS = np.array([[0.0, 0.1], [1.0, 0.3], [-0.5, 2.0], [2.0, -1.0]])
TEXT = "\n".join(",".join(map(repr, row)) for row in ROWS.tolist())


def netcdf(path: Path, **variables: object) -> None:
    xr.Dataset(variables).to_netcdf(path)  # type: ignore[arg-type]


WRITERS: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "plain.csv": (lambda path: path.write_text(TEXT), ()),
    "named.csv": (lambda path: path.write_text("fixed acidity,2nd\n" + TEXT), ("fixed_acidity", "x_2nd")),
    "marked.csv": (lambda path: path.write_text("\ufeffa,b\n" + TEXT), ("a", "b")),
    "tabs.txt": (lambda path: path.write_text("a\tb\n" + TEXT.replace(",", "\t")), ("a", "b")),
    "array.npy": (lambda path: np.save(path, ROWS), ()),
    "matrix.nc": (lambda path: netcdf(path, state=(("sample", "component"), ROWS)), ()),
    "columns.nc": (lambda path: netcdf(path, u=("path", ROWS[:, 0]), w=("path", ROWS[:, 1])), ("u", "w")),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_is_read_as_it_was_written(tmp_path: Path, name: str) -> None:
    write, names = WRITERS[name]
    write(tmp_path / name)
    found = SampleFile.read(tmp_path / name)
    np.testing.assert_array_equal(found.rows, ROWS)
    assert found.names == names
    process = NoisedSamples(samples=str(tmp_path / name))
    assert [variable.name for variable in process.variables] == list(names or ("x0", "x1"))
    assert NoisedSamples(**process.parameters) == process


def test_names_choose_among_named_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n" + TEXT)
    process = NoisedSamples(samples=str(tmp_path / "a.csv"), names=("b",))
    assert process.mean.tolist() == [ROWS[:, 1].mean()]
    with pytest.raises(ValueError, match=r"`names` must be among a, b, those of .*a.csv; got 'c'"):
        NoisedSamples(samples=str(tmp_path / "a.csv"), names=("c",))


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing.csv": (lambda path: None, "No such file"),
    "words.csv": (lambda path: path.write_text("a,b\n1,x\n"), "no table of numbers"),
    "ragged.csv": (lambda path: path.write_text("1,2\n1,2,3\n"), "no table of numbers"),
    "empty.csv": (lambda path: path.write_text(""), "empty.csv"),
    "bytes.csv": (lambda path: path.write_bytes(b"\xff\xfe\x00"), "UTF-8"),
    "text.npy": (lambda path: path.write_text(TEXT), "no array of numpy"),
    "objects.npy": (lambda path: np.save(path, np.array([[{}]]), allow_pickle=True), "no array of numpy"),
    "line.npy": (lambda path: np.save(path, ROWS[:, 0]), "samples by components"),
    "text.nc": (lambda path: path.write_text(TEXT), "text.nc"),
    "trajectories.nc": (lambda path: netcdf(path, x=(("path", "time"), ROWS)), "states of one time"),
    "unequal.nc": (lambda path: netcdf(path, u=("a", ROWS[0]), w=("b", ROWS[:, 1])), "one common dimension"),
    "samples.json": (lambda path: path.write_text("[]"), r"\.csv, \.tsv"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_holds_no_samples_is_refused(tmp_path: Path, name: str) -> None:
    write, what = REFUSED[name]
    write(tmp_path / name)
    with pytest.raises(DataFileError, match=what):
        SampleFile.read(tmp_path / name)
