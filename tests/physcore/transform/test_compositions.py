"""Tables of compositions: closure, zeros, and what is refused with its line."""

from pathlib import Path

import pytest
import torch

from physcore.errors import DataFileError
from physcore.transform import AdditiveLogistic, Compositions, closed, read_compositions, replace_zeros

TABLE = "name,sand,silt,clay,depth\na,2,3,5,10\nb,0,1,3,20\nc,1,1,2,30\nd,8,0,0,40\n"
PARTS = ("sand", "silt", "clay")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "soils.csv"
    path.write_text(TABLE, encoding="utf-8")
    return path


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_are_closed_and_zeros_replaced_below_the_limit(table: Path) -> None:
    limits = {"sand": 0.02, "clay": 0.04}
    found = read_compositions(table, PARTS, zeros="replace", limits=limits)
    assert found.names == PARTS
    torch.testing.assert_close(found.parts.sum(-1), torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(found.parts[0], torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64))
    # 0.65 times the limit; of silt, which has none, times its smallest share.
    torch.testing.assert_close(found.parts[1, 0].item(), 0.65 * 0.02)
    torch.testing.assert_close(found.parts[3, 1:], 0.65 * torch.tensor([0.25, 0.04], dtype=torch.float64))
    torch.testing.assert_close(found.parts[1, 2] / found.parts[1, 1], torch.tensor(3.0, dtype=torch.float64))
    everywhere = read_compositions(table, PARTS, zeros="replace", limits=0.01)
    torch.testing.assert_close(everywhere.parts[3, 1:], torch.full((2,), 0.0065, dtype=torch.float64))


def test_log_ratios_are_those_of_the_additive_logistic_map(table: Path) -> None:
    found = read_compositions(table, PARTS, zeros="replace")
    expected = torch.log(found.parts[:, :2] / found.parts[:, 2:])
    torch.testing.assert_close(found.log_ratios, expected)
    torch.testing.assert_close(AdditiveLogistic().forward(found.log_ratios), found.parts[:, :2])


def test_a_split_loses_no_row_and_is_a_function_of_the_seed() -> None:
    parts = closed(torch.rand(50, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    whole = Compositions(PARTS, parts)
    first, second = whole.split(0.2, seed=3)
    assert (len(first), len(second)) == (40, 10)
    together = torch.cat([first.parts, second.parts])
    assert torch.equal(together.sort(0).values, parts.sort(0).values)
    assert torch.equal(whole.split(0.2, seed=3)[1].parts, second.parts)
    assert not torch.equal(whole.split(0.2, seed=4)[1].parts, second.parts)
    with pytest.raises(ValueError, match="leave rows in both"):
        whole.split(0.001, seed=1)


@pytest.mark.parametrize("text", ["a;b\n1;3\n2;2\n", "a\tb\n1\t3\n2\t2\n", "\ufeffa,b\r\n1,3\r\n\r\n2,2\r\n"])
def test_separators_and_line_ends_are_found(tmp_path: Path, text: str) -> None:
    found = read_compositions(written(tmp_path / "table.txt", text))
    assert found.names == ("a", "b")
    torch.testing.assert_close(found.parts[0], torch.tensor([0.25, 0.75], dtype=torch.float64))


@pytest.mark.parametrize(
    ("text", "settings", "what"),
    [
        (TABLE, {"parts": PARTS}, "3 parts are zero, the first 'sand' on line 3.*zeros='replace'"),
        (TABLE, {"parts": ("sand", "loam")}, "must be two or more of its columns"),
        (TABLE, {"parts": ("sand",)}, "two or more"),
        (TABLE, {}, "'name' on line 2 must be a number; got 'a'"),
        ("a,b\n1,2\n3,\n", {}, "line 3 lacks a part"),
        ("a,b\n1,2\n3,-1\n", {}, "'b' on line 3 must be finite and not negative"),
        ("a,b\n1,2\n3,inf\n", {}, "'b' on line 3"),
        ("a,b\n1,2\n3\n", {}, "line 3 has 1 values for 2 columns"),
        ("a,b\n1,2\n0,0\n", {"zeros": "replace"}, "all parts on line 3 are zero"),
        ("a,b\n", {}, "holds no compositions"),
        ("", {}, "two or more"),
    ],
)
def test_d7_what_is_no_table_of_compositions_is_refused(
    tmp_path: Path, text: str, settings: dict[str, object], what: str
) -> None:
    with pytest.raises(DataFileError, match=what):
        read_compositions(written(tmp_path / "table.csv", text), **settings)  # type: ignore[arg-type]


def test_d7_what_cannot_be_read_or_replaced_is_refused(tmp_path: Path, table: Path) -> None:
    with pytest.raises(DataFileError, match=r"none\.csv: no table"):
        read_compositions(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataFileError, match="no table can be read"):
        read_compositions(tmp_path / "binary.csv")
    with pytest.raises(ValueError, match="`limits` names"):
        read_compositions(table, PARTS, zeros="replace", limits={"loam": 0.1})
    with pytest.raises(ValueError, match="too large"):
        replace_zeros(torch.tensor([[1.0, 0.0, 0.0]]), [0.9, 0.9, 0.9])
    with pytest.raises(ValueError, match="3 numbers between 0 and 1"):
        replace_zeros(torch.tensor([[1.0, 0.0, 0.0]]), [0.1])
    with pytest.raises(ValueError, match=r"got -1 at index \(0, 1\)"):
        closed(torch.tensor([[1.0, -1.0]]))
    with pytest.raises(ValueError, match=r"not all be zero; they are at index \(1,\)"):
        closed(torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
    with pytest.raises(ValueError, match="sum 1"):
        Compositions(("a", "b"), torch.tensor([[0.5, 0.6]], dtype=torch.float64))
    with pytest.raises(ValueError, match="a column for each"):
        Compositions(("a",), torch.ones(1, 1, dtype=torch.float64))


def test_rows_that_lack_a_part_are_left_out_where_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path / "table.csv", "a,b\n1,2\n3,NA\n,4\n5,5\n")
    assert len(read_compositions(path, missing="drop")) == 2
