"""Preparation of tables: small ones made here in the formats of the real ones, and the real ones where they are."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from physcore.errors import DataFileError
from physcore.law import Gaussian
from physcore.tables import PreparedTable, TablePreparation, dequantised, read_table, uncorrelated, whitened

REAL = Path(os.environ.get("UCI_TABLES", Path(__file__).parents[3] / "shared" / "data" / "uci"))


def written(path: Path, names: list[str], rows: np.ndarray, separator: str) -> Path:
    lines = [separator.join(names), *(separator.join(f"{x:.6g}" for x in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def wine(path: Path, separator: str = ";", rows: int = 240) -> Path:
    generator = np.random.default_rng(1)
    values = np.round(generator.normal(size=(rows, 4)) * [1.0, 0.1, 20.0, 1.0] + 5, 2)
    return written(path, ['"fixed acidity"', '"pH"', '"sulphates"', '"quality"'], values, separator)


def voices(path: Path) -> Path:
    generator = np.random.default_rng(2)
    white = generator.normal(size=(300, 6))
    white[:, 4] = 2 * white[:, 3] + 0.01 * white[:, 4]
    return written(path, ["subject#", "age", "sex", "a", "b", "c"], white, ",")


@pytest.mark.parametrize("separator", [";", ",", "\t"], ids=["semicolon", "comma", "tab"])
def test_a_wine_is_white_and_split(tmp_path: Path, separator: str) -> None:
    prepared = TablePreparation.wine_quality().prepare(wine(tmp_path / "wine.csv", separator), seed=3)
    assert prepared.columns == ("fixed acidity", "pH", "sulphates")
    assert prepared.sizes == (195, 21, 24)
    together = torch.cat([prepared.training, prepared.validation, prepared.test])
    assert together.dtype is torch.float64
    torch.testing.assert_close(together.mean(0), torch.zeros(3, dtype=torch.float64), atol=0.02, rtol=0)
    covariance = torch.cov(together.T, correction=0)
    torch.testing.assert_close(covariance, 1.0025 * torch.eye(3, dtype=torch.float64), atol=0.03, rtol=0)


def test_without_noise_rows_are_exactly_white(tmp_path: Path) -> None:
    preparation = TablePreparation(dropped=("quality",), noise=0.0)
    prepared = preparation.prepare(wine(tmp_path / "wine.csv"), seed=3)
    together = torch.cat([prepared.training, prepared.validation, prepared.test])
    torch.testing.assert_close(torch.cov(together.T, correction=0), torch.eye(3, dtype=torch.float64))
    other = preparation.prepare(tmp_path / "wine.csv", seed=4)
    assert torch.equal(prepared.test, other.test)  # the order of the rows is that of the protocol, whatever the seed


def test_seeds_differ_in_the_noise_alone(tmp_path: Path) -> None:
    path = wine(tmp_path / "wine.csv")
    one, same, other = (TablePreparation.wine_quality().prepare(path, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(one.test, same.test)
    assert not torch.equal(one.test, other.test)
    assert (one.test - other.test).abs().mean() < 0.2


def test_a_column_that_repeats_another_goes(tmp_path: Path) -> None:
    prepared = TablePreparation.parkinsons().prepare(voices(tmp_path / "voices.data"), seed=3)
    assert prepared.columns == ("b", "c")


def test_correlations_of_either_sign_count_at_first_alone() -> None:
    generator = np.random.default_rng(5)
    a, b = generator.normal(size=(2, 500))
    near = 1e-3 * generator.normal(size=(2, 500))
    assert uncorrelated(np.stack([a, b, -a + near[0]], 1), 0.98) == [1, 2]
    # After a column has gone the protocol compares signed correlations, and the negative pair stays.
    assert uncorrelated(np.stack([a, a + near[0], b, -b + near[1]], 1), 0.98) == [1, 2, 3]


def test_dequantised_values_lie_within_the_median_gap() -> None:
    rows = np.repeat(np.array([[0.0], [1.0], [2.0], [10.0]]), 500, 0)
    change = dequantised(rows, torch.Generator().manual_seed(1)) - rows
    assert np.abs(change).max() <= 1.0
    assert np.abs(change).max() > 0.99
    assert change.std() == pytest.approx(1 / np.sqrt(3), rel=0.03)


def test_columns_that_depend_on_each_other_are_refused() -> None:
    rows = np.random.default_rng(6).normal(size=(100, 3)) * [1.0, 1e-6, 1.0]
    assert whitened(rows).std(0) == pytest.approx(np.ones(3))
    with pytest.raises(ValueError, match="depend linearly"):
        whitened(np.column_stack([rows, rows[:, 0] + rows[:, 2]]))


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with pytest.raises(DataFileError, match="No such file"):
        read_table(path)
    for text, reason in {
        "a;b\n1;two\n": "no table of numbers",
        "a;b\n1;2\n3\n": "no table of numbers",
        "a;b;c\n1;2\n3;4\n": "3 names for 2 columns",
        "a;b\n1;nan\n": "not finite",
    }.items():
        path.write_text(text, encoding="utf-8")
        with pytest.raises(DataFileError, match=reason):
            read_table(path)


def test_what_cannot_be_prepared_is_refused(tmp_path: Path) -> None:
    path = wine(tmp_path / "wine.csv")
    with pytest.raises(ValueError, match="has no column age"):
        TablePreparation(dropped=("age",)).prepare(path, seed=1)
    few = wine(tmp_path / "few.csv", rows=10)
    with pytest.raises(ValueError, match="at least 20 rows"):
        TablePreparation.wine_quality().prepare(few, seed=1)
    constant = written(tmp_path / "constant.csv", ["a", "b"], np.column_stack([np.arange(30.0), np.ones(30)]), ";")
    with pytest.raises(ValueError, match="same number in every row of b"):
        TablePreparation().prepare(constant, seed=1)
    with pytest.raises(ValueError, match="largest_correlation"):
        TablePreparation(largest_correlation=1.5)
    with pytest.raises(ValueError, match="noise"):
        TablePreparation(noise=-1.0)


def gaussian(prepared: PreparedTable) -> tuple[float, float]:
    """Test loss and log likelihood of a Gaussian fitted to the training rows."""
    law = Gaussian(mean=prepared.training.mean(0), covariance=torch.cov(prepared.training.T))
    divergence = torch.linalg.inv(law.covariance).trace()
    loss = 0.5 * law.score(prepared.test).square().sum(-1) - divergence
    return float(loss.mean()), float(law.log_density(prepared.test).mean())


@pytest.mark.parametrize(
    ("file", "preparation", "sizes", "dimension", "reached"),
    [
        ("winequality-red.csv", TablePreparation.wine_quality(), (1296, 144, 159), 11, (-4.575, -16.343)),
        ("winequality-white.csv", TablePreparation.wine_quality(), (3969, 440, 489), 11, (-5.244, -15.811)),
        ("parkinsons_updrs.data", TablePreparation.parkinsons(), (4760, 528, 587), 15, (-7.830, -20.832)),
    ],
    ids=["red wine", "white wine", "parkinsons"],
)
def test_real_tables_have_the_sizes_and_gaussian_fits_of_the_protocol(
    file: str, preparation: TablePreparation, sizes: tuple[int, int, int], dimension: int, reached: tuple[float, float]
) -> None:
    if not (REAL / file).is_file():
        pytest.skip(f"no {file}; set UCI_TABLES to the folder that holds it")
    prepared = preparation.prepare(REAL / file, seed=0)
    assert prepared.sizes == sizes
    assert prepared.training.shape[1] == dimension
    # Noise that differs from seed to seed moves the loss by 0.02 and the likelihood by 0.015.
    assert gaussian(prepared) == pytest.approx(reached, abs=0.05)
