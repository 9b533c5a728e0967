"""Sums of a Stein kernel over all pairs of states, tile by tile.

Memory is bounded by a tile whatever the number of states. A tile is the unit of work that ranks share; sums are of
float64 and joined in the order of the tiles, so that the number of ranks does not matter.
"""

import dataclasses
import math

import torch
from torch import Tensor

from analysis.stein.base_kernels import BaseKernel
from analysis.stein.stein_kernel import SteinFeatures, stein_matrix
from physcore.communicator import Communicator, SerialCommunicator
from physcore.errors import NumericalError

__all__ = ["PairSums", "pair_sums"]

LARGEST_TILE = 2**23  # numbers held at once
MOST_ROWS = 256  # a tile that lies in the cache


@dataclasses.dataclass(frozen=True)
class PairSums:
    r"""Sums of :math:`u(x_i, x_j)`, float64.

    Arguments:
        diagonal: :math:`u(x_i, x_i)`, shape ``(n,)``.
        rows: :math:`\sum_{j \neq i} u(x_i, x_j)`, shape ``(n,)``.
        squares: :math:`\sum_{i \neq j} u(x_i, x_j)^2`.
        signed: :math:`\sum_{i \neq j} W_i W_j u(x_i, x_j)` of each set of multipliers, shape ``(replicate,)``.
    """

    diagonal: Tensor
    rows: Tensor
    squares: float
    signed: Tensor


def pair_sums(
    features: SteinFeatures,
    kernel: BaseKernel,
    signs: Tensor | None = None,
    communicator: Communicator | None = None,
) -> PairSums:
    """Return the sums over all pairs.

    Arguments:
        features: What the Stein kernel needs of the states, where the sums are to be taken.
        kernel: The base kernel, with a bandwidth.
        signs: Sets of multipliers, shape ``(replicate, n)``; none when None.
        communicator: Ranks that share the tiles; serial when None. Every rank returns the same.

    Raises:
        NumericalError: If a sum is not finite.
    """
    communicator = communicator or SerialCommunicator()
    n = len(features)
    size = max(1, min(MOST_ROWS, math.isqrt(LARGEST_TILE // features.width)))
    parts = [slice(first, min(first + size, n)) for first in range(0, n, size)]
    tiles = [(i, j) for i in range(len(parts)) for j in range(i, len(parts))]
    if signs is None:
        signs = torch.empty(0, n, dtype=torch.int8)
    together = communicator.map(lambda t: _tile(features, kernel, signs, *(parts[k] for k in tiles[t])), len(tiles))
    diagonal, rows = torch.zeros(n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
    totals = torch.zeros(1 + len(signs), dtype=torch.float64)
    for (i, j), (own, across, down, sums) in zip(tiles, together, strict=True):
        rows[parts[i]] += across
        if i == j:
            diagonal[parts[i]] = own
        else:
            rows[parts[j]] += down
        totals += sums if i == j else 2 * sums
    if not bool(torch.isfinite(rows).all() and torch.isfinite(totals).all()):
        raise NumericalError(f"the Stein kernel is not finite at {int((~rows.isfinite()).sum())} of {n} states.")
    return PairSums(diagonal, rows, float(totals[0]), totals[1:])


def _tile(
    features: SteinFeatures, kernel: BaseKernel, signs: Tensor, rows: slice, columns: slice
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return diagonal, sums along rows and columns, and the sum of squares with the signed sums."""
    matrix = stein_matrix(kernel, features.part(rows), features.part(columns)).double()
    diagonal = matrix.diagonal().clone()
    if rows == columns:
        matrix.fill_diagonal_(0.0)
    left, right = (signs[:, part].to(matrix) for part in (rows, columns))
    signed = ((left @ matrix) * right).sum(-1)
    totals = torch.cat([matrix.square().sum().unsqueeze(0), signed])
    return diagonal.cpu(), matrix.sum(1).cpu(), matrix.sum(0).cpu(), totals.cpu()
