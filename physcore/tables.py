r"""Tables of measurements made ready for density estimation.

Rounded columns get back a continuous law, columns that say the same as others go, rows are shuffled, and all is
whitened along principal axes,

.. math:: x \mapsto \Lambda^{-1/2} V^T (x - \bar x), \qquad C = V \Lambda V^T,

with the covariance :math:`C` of all rows; then a little noise is added.

Source: the protocol of Wenliang, Sutherland, Strathmann and Gretton, Learning deep kernels for exponential family
densities (2019), and Song, Garg, Shi and Ermon, Sliced score matching (2019), section 5.1; the wines are those of
Cortez et al. (2009), the voices those of Tsanas et al. (2009), both from the UCI machine learning repository.
"""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from physcore.errors import DataFileError
from physcore.streams import Streams

__all__ = ["PreparedTable", "TablePreparation", "read_table"]

Reals = NDArray[np.float64]

SEPARATORS = ";,\t"
LARGEST_PART = 1000  # rows held out for each purpose at most
SHUFFLE_SEED = 2019
FEWEST_ROWS = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreparedTable:
    """Whitened rows in three parts.

    Arguments:
        training: Rows to learn from, float64, shape ``(row, component)``.
        validation: Rows to stop and to tune by.
        test: Rows to judge by.
        columns: Names of the columns that were kept, from which the components were made.
    """

    training: Tensor
    validation: Tensor
    test: Tensor
    columns: tuple[str, ...]

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Numbers of rows of the three parts."""
        return len(self.training), len(self.validation), len(self.test)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TablePreparation:
    """What is done to a table.

    Arguments:
        dropped: Names of columns that are left out.
        dequantised: Whether uniform noise of the median gap between a column's values, to either side, is added.
        largest_correlation: Columns are left out until no two correlate by more; None leaves all.
        noise: Standard deviation of the noise added after whitening.

    Raises:
        ValueError: If the correlation is not between 0 and 1 or the noise is negative.
    """

    dropped: tuple[str, ...] = ()
    dequantised: bool = False
    largest_correlation: float | None = None
    noise: float = 0.05

    def __post_init__(self) -> None:
        if self.largest_correlation is not None and not 0 < self.largest_correlation < 1:
            raise ValueError(f"`largest_correlation` must be between 0 and 1; got {self.largest_correlation}.")
        if not (self.noise >= 0 and math.isfinite(self.noise)):
            raise ValueError(f"`noise` must be at least 0 and finite; got {self.noise}.")

    @classmethod
    def wine_quality(cls) -> "TablePreparation":
        """Return what is done to ``winequality-red.csv`` and ``winequality-white.csv``: 11 components."""
        return cls(dropped=("quality",), dequantised=True)

    @classmethod
    def parkinsons(cls) -> "TablePreparation":
        """Return what is done to ``parkinsons_updrs.data``: 15 components."""
        return cls(dropped=("subject#", "age", "sex"), largest_correlation=0.98)

    def prepare(self, path: str | Path, seed: int) -> PreparedTable:
        """Read a table and make it ready.

        Rows are shuffled in the same order whatever the seed, so the parts have the same rows. The test part is the
        last tenth, the validation part a tenth of what is left, each at most 1000.

        Arguments:
            path: File of numbers with a line of names, separated by semicolons, commas or tabs.
            seed: Seed of the noise, 0 <= seed < 2^64.

        Raises:
            DataFileError: If the file is missing or is no such table.
            ValueError: If a column to drop is not there, a column is constant, columns depend linearly on each other,
                or there are fewer than 20 rows.
        """
        names, rows = read_table(path)
        unknown = [name for name in self.dropped if name not in names]
        if unknown:
            raise ValueError(f"{path} has no column {', '.join(unknown)}; it has {', '.join(names)}.")
        kept = [k for k, name in enumerate(names) if name not in self.dropped]
        names, rows = [names[k] for k in kept], rows[:, kept]
        self._check(path, names, rows)
        if self.largest_correlation is not None:
            kept = uncorrelated(rows, self.largest_correlation)
            names, rows = [names[k] for k in kept], rows[:, kept]
        if self.dequantised:
            rows = dequantised(rows, Streams(seed, "table/dequantisation").generator())
        order = np.random.RandomState(SHUFFLE_SEED).permutation(len(rows))  # the protocol's own generator and order
        white = torch.from_numpy(whitened(rows[order]))
        noise = torch.randn(white.shape, generator=Streams(seed, "table/noise").generator(), dtype=torch.float64)
        white = white + self.noise * noise
        test = min(LARGEST_PART, len(white) // 10)
        validation = min(LARGEST_PART, (len(white) - test) // 10)
        parts = torch.split(white, [len(white) - test - validation, validation, test])
        return PreparedTable(training=parts[0], validation=parts[1], test=parts[2], columns=tuple(names))

    @staticmethod
    def _check(path: str | Path, names: Sequence[str], rows: Reals) -> None:
        if len(rows) < FEWEST_ROWS:
            raise ValueError(f"{path} must have at least {FEWEST_ROWS} rows; it has {len(rows)}.")
        constant = [name for name, column in zip(names, rows.T, strict=True) if column.min() == column.max()]
        if constant:
            raise ValueError(f"{path} has the same number in every row of {', '.join(constant)}; drop the column.")


def read_table(path: str | Path) -> tuple[list[str], Reals]:
    """Return the names of the columns of a table of numbers, and its rows.

    Arguments:
        path: File with a line of names, separated by semicolons, commas or tabs.

    Raises:
        DataFileError: If the file is missing or is no such table.
    """
    try:
        with open(path, encoding="utf-8") as file:
            first = file.readline().strip()
            separator = max(SEPARATORS, key=first.count)
            names = [name.strip().strip('"') for name in first.split(separator)]
            rows = np.loadtxt(file, delimiter=separator, ndmin=2)
    except OSError as error:
        raise DataFileError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:  # a word among the numbers, rows of different lengths, bytes that are no text
        raise DataFileError(f"{path} is no table of numbers: {error}") from error
    if rows.shape[1] != len(names):
        raise DataFileError(f"{path} has {len(names)} names for {rows.shape[1]} columns of numbers")
    if not np.isfinite(rows).all():
        raise DataFileError(f"{path} holds numbers that are not finite")
    return names, rows


def uncorrelated(rows: Reals, limit: float) -> list[int]:
    """Return the columns left when, one after the other, the first that correlates with another has been taken out.

    As in the protocol, correlations of either sign count until one column is out, and positive ones after that.

    Arguments:
        rows: Shape ``(row, column)``.
        limit: Largest correlation.
    """
    kept = list(range(rows.shape[1]))
    correlation = np.abs(np.corrcoef(rows.T))
    while True:
        related = (correlation > limit).sum(1) > 1
        if not related.any():
            return kept
        del kept[int(np.argmax(related))]
        correlation = np.atleast_2d(np.corrcoef(rows[:, kept].T))


def dequantised(rows: Reals, generator: torch.Generator) -> Reals:
    """Return rows with uniform noise of the median gap between the values of each column, to either side.

    Arguments:
        rows: Shape ``(row, column)``, no column constant.
        generator: Source of randomness.
    """
    gaps = np.array([np.median(np.diff(np.unique(column))) for column in rows.T])
    uniform = torch.rand(rows.shape, generator=generator, dtype=torch.float64).numpy()
    return np.asarray(rows + (2 * uniform - 1) * gaps)


def whitened(rows: Reals) -> Reals:
    """Return rows with mean zero and covariance one, along their principal axes.

    Arguments:
        rows: Shape ``(row, column)``.

    Raises:
        ValueError: If columns depend linearly on each other.
    """
    centred = rows - rows.mean(0)
    deviations = centred.std(0)
    # Columns of very different size are brought to one before their rank is judged.
    if np.linalg.matrix_rank(centred / deviations) < rows.shape[1]:
        raise ValueError("the columns depend linearly on each other; drop some, or set `largest_correlation`.")
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    return np.asarray(centred @ (axes.T * (math.sqrt(len(rows)) / sizes)))
