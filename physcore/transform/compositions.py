r"""Tables of compositions: parts of a whole, of which only the ratios tell something.

.. math:: \mathcal C(z)_i = \frac{z_i}{\sum_j z_j}, \qquad
          z_i \leftarrow \begin{cases} \delta_i & z_i = 0 \\ z_i \left(1 - \sum_{z_j = 0} \delta_j\right) & z_i > 0
          \end{cases}

The closure divides each row by its sum. A zero has no logarithm: it is refused, or taken for a part too small to be
detected and replaced, the others of its row being multiplied so that their ratios stay what they were.

Source: Aitchison, The Statistical Analysis of Compositional Data (1986), sections 2.1 and 11.5; Martin-Fernandez,
Barcelo-Vidal and Pawlowsky-Glahn, Dealing with zeros and missing values in compositional data sets using nonparametric
imputation (2003), the multiplicative replacement and the share 0.65 of the limit.
"""

import csv
import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from physcore.errors import DataFileError
from physcore.transform.bijections.additive_logistic import AdditiveLogistic

__all__ = ["Compositions", "closed", "read_compositions", "replace_zeros"]

DELIMITERS = ",;\t"
REPLACED_SHARE = 0.65  # of the limit of detection
MISSING = frozenset({"", "NA", "NaN", "nan", "null"})


@dataclasses.dataclass(frozen=True)
class Compositions:
    """Compositions with the names of their parts.

    Arguments:
        names: Names of the parts.
        parts: The parts, positive with sum 1, shape ``(row, part)``, float64.

    Raises:
        ValueError: If names and parts do not fit, a part is not positive, or a row does not sum to 1.
    """

    names: tuple[str, ...]
    parts: Tensor

    def __post_init__(self) -> None:
        if self.parts.ndim != 2 or self.parts.shape[1] != len(self.names) or len(self.names) < 2:
            raise ValueError(
                f"`parts` must have a column for each of two or more `names`; got shape {tuple(self.parts.shape)} for "
                f"{list(self.names)}."
            )
        if not bool((self.parts > 0).all()) or bool(((self.parts.sum(-1) - 1).abs() > 1e-9).any()):
            raise ValueError("`parts` must be positive with sum 1 in every row; see `closed` and `replace_zeros`.")

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.parts)

    @property
    def log_ratios(self) -> Tensor:
        r"""Additive log-ratios :math:`\log(z_i / z_d)` to the last part, shape ``(row, part - 1)``."""
        return AdditiveLogistic().inverse(self.parts[:, :-1])

    def split(self, share: float, seed: int) -> tuple["Compositions", "Compositions"]:
        """Return two sets of rows, drawn without replacement.

        Arguments:
            share: Share of the rows in the second set, between 0 and 1.
            seed: Seed of the draw.

        Raises:
            ValueError: If one of the sets would be empty.
        """
        second = round(share * len(self))
        if not 0 < second < len(self):
            raise ValueError(f"`share` must leave rows in both sets; {share} of {len(self)} rows are {second}.")
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        rows = order[second:], order[:second]
        return Compositions(self.names, self.parts[rows[0]]), Compositions(self.names, self.parts[rows[1]])


def closed(amounts: Tensor) -> Tensor:
    """Return amounts divided by the sum of their row.

    Arguments:
        amounts: Not negative, in any common unit, shape ``(..., part)``.

    Returns:
        Shape of ``amounts``; every row sums to 1.

    Raises:
        ValueError: If an amount is negative or not finite, or a row has nothing in it; the first is named.
    """
    wrong = ~(amounts >= 0) | ~amounts.isfinite()
    if bool(wrong.any()):
        place = tuple(wrong.nonzero()[0].tolist())
        raise ValueError(f"`amounts` must be finite and not negative; got {float(amounts[place]):g} at index {place}.")
    total = amounts.sum(-1, keepdim=True)
    if bool((total == 0).any()):
        row = tuple((total == 0).nonzero()[0, :-1].tolist())
        raise ValueError(f"`amounts` of a row must not all be zero; they are at index {row}.")
    return amounts / total


def replace_zeros(parts: Tensor, limits: Sequence[float]) -> Tensor:
    r"""Return compositions whose zeros are replaced by :math:`\delta_i = 0.65` times a limit of detection.

    Arguments:
        parts: Not negative with sum 1, shape ``(..., part)``.
        limits: Limit of detection of each part, as a share of the whole, positive.

    Returns:
        Shape of ``parts``; all positive with sum 1, the ratios of parts that were not zero unchanged.

    Raises:
        ValueError: If the limits do not fit, or are so large that a replaced row would have nothing left.

    Source:
        Martin-Fernandez et al. (2003), equation 6.
    """
    if len(limits) != parts.shape[-1] or not all(0 < limit < 1 for limit in limits):
        raise ValueError(f"`limits` must be {parts.shape[-1]} numbers between 0 and 1; got {list(limits)}.")
    small = REPLACED_SHARE * torch.tensor(limits, dtype=parts.dtype, device=parts.device)
    zero = parts == 0
    put = torch.where(zero, small, 0.0)
    left = 1 - put.sum(-1, keepdim=True)
    if bool((left <= 0).any()):
        raise ValueError("`limits` are too large: the replaced parts of a row would exceed the whole.")
    return torch.where(zero, put, parts * left)


def read_compositions(
    path: str | Path,
    parts: Sequence[str] | None = None,
    *,
    zeros: Literal["refuse", "replace"] = "refuse",
    limits: float | Mapping[str, float] | None = None,
    missing: Literal["refuse", "drop"] = "refuse",
) -> Compositions:
    """Read compositions from a table of text.

    Arguments:
        path: File of values separated by commas, semicolons or tabs, UTF-8, with the names of its columns on the first
            line.
        parts: Columns that are the parts, in order; all columns when None. The last is what log-ratios are taken to.
        zeros: What becomes of zeros: an error, or a replacement below the limit of detection; see ``replace_zeros``.
        limits: Limit of detection, as a share of the whole, of all parts or by name; of a part that has none the
            smallest share in the table that is not zero.
        missing: What becomes of rows that lack a part: an error, or they are left out.

    Returns:
        The rows, closed to sum 1.

    Raises:
        DataFileError: If the file cannot be read, a column is not there or holds no numbers, a row lacks a part, an
            amount is negative, or there are zeros that are not to be replaced; the line is named.
        ValueError: If the limits do not fit.
    """
    path = Path(path)
    names, lines, rows = _amounts(path, parts, missing)
    amounts = torch.tensor(rows, dtype=torch.float64)
    empty = [line for line, row in zip(lines, rows, strict=True) if not any(row)]
    if empty:
        raise DataFileError(f"{path}: all parts on line {empty[0]} are zero")
    shares = closed(amounts)
    zero = shares == 0
    if bool(zero.any()):
        row, column = zero.nonzero()[0].tolist()
        if zeros != "replace":
            raise DataFileError(
                f"{path}: {int(zero.sum())} parts are zero, the first {names[column]!r} on line {lines[row]}, and a "
                "zero has no logarithm. Replace them below the limit of detection (zeros='replace'), or leave the rows "
                "or the part out."
            )
        shares = replace_zeros(shares, _limits(names, shares, limits))
    return Compositions(tuple(names), closed(shares))


def _amounts(path: Path, parts: Sequence[str] | None, missing: str) -> tuple[list[str], list[int], list[list[float]]]:
    """Return the names of the parts, and of every row the line that it stands on and its amounts."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataFileError(f"{path}: no table can be read ({type(error).__name__})") from error
    first = text.split("\n", 1)[0]
    table = csv.reader(text.splitlines(), delimiter=max(DELIMITERS, key=first.count))
    header = [name.strip() for name in next(table, [])]
    names = header if parts is None else list(parts)
    unknown = [name for name in names if name not in header]
    if unknown or len(set(names)) < len(names) or len(names) < 2:
        raise DataFileError(f"{path}: the parts must be two or more of its columns {header}; got {names}")
    columns, lines, rows = [header.index(name) for name in names], [], []
    for line, cells in enumerate(table, 2):
        if not cells:
            continue
        if len(cells) != len(header):
            raise DataFileError(f"{path}: line {line} has {len(cells)} values for {len(header)} columns")
        values = [cells[column].strip() for column in columns]
        if any(value in MISSING for value in values):
            if missing != "drop":
                raise DataFileError(f"{path}: line {line} lacks a part: {values}. Give missing='drop' to leave it out.")
            continue
        rows.append([_number(path, line, name, value) for name, value in zip(names, values, strict=True)])
        lines.append(line)
    if not rows:
        raise DataFileError(f"{path}: holds no compositions")
    return names, lines, rows


def _number(path: Path, line: int, name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise DataFileError(f"{path}: {name!r} on line {line} must be a number; got {value!r}") from None
    if not (number >= 0 and math.isfinite(number)):
        raise DataFileError(f"{path}: {name!r} on line {line} must be finite and not negative; got {value}")
    return number


def _limits(names: Sequence[str], shares: Tensor, limits: float | Mapping[str, float] | None) -> list[float]:
    smallest = torch.where(shares > 0, shares, math.inf).amin(0).tolist()
    if limits is None:
        return [float(share) for share in smallest]
    if not isinstance(limits, Mapping):
        return [float(limits)] * len(names)
    unknown = [name for name in limits if name not in names]
    if unknown:
        raise ValueError(f"`limits` names {unknown}; the parts are {list(names)}.")
    return [float(limits.get(name, share)) for name, share in zip(names, smallest, strict=True)]
