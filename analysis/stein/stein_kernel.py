r"""The Stein kernel of a score with a matrix field.

With a base kernel of :math:`z = z(x)`, :math:`C = (\partial z / \partial x)\,m` and the Stein score
:math:`b = m^T s + \operatorname{div} m`,

.. math:: u(x, x') = \varphi\,b \cdot b' + 2 \varphi' \left(b' \cdot C^T \delta - b \cdot C'^T \delta
          - \operatorname{tr} C^T C'\right) - 4 \varphi''\,(C^T \delta) \cdot (C'^T \delta), \qquad \delta = z - z'.

Its mean over pairs from the law of the score vanishes; over pairs from another law it is the squared discrepancy. With
:math:`m = I`, :math:`z = x` it is the kernel of Liu, Lee and Jordan and of Chwialkowski et al.; with :math:`z = T(x)`
and :math:`m = (\partial T / \partial x)^{-1}`, so that :math:`C = I`, it is theirs after the map :math:`T`.

Source: Barp et al., Minimum Stein discrepancy estimators (2019), the diffusion kernel Stein discrepancy; its form for
kernels of a distance and the pulled-back kernel are derived.
"""

import dataclasses

import torch
from torch import Tensor

from analysis.stein.base_kernels import BaseKernel

__all__ = ["SteinFeatures", "stein_matrix"]


@dataclasses.dataclass(frozen=True)
class SteinFeatures:
    r"""What the Stein kernel needs to know of states.

    Arguments:
        points: :math:`z`, shape ``(..., n, e)``.
        scores: :math:`b`, shape ``(..., n, k)``.
        frames: :math:`C`, shape ``(..., n, e, k)``; None for the identity.
    """

    points: Tensor
    scores: Tensor
    frames: Tensor | None = None

    def __len__(self) -> int:
        return self.points.shape[-2]

    @property
    def width(self) -> int:
        """Numbers held for a pair of states at once."""
        return 8 if self.frames is None else 8 + 3 * self.frames.shape[-1]

    def part(self, chosen: slice | Tensor) -> "SteinFeatures":
        """Return those of some states.

        Arguments:
            chosen: Which, along the axis of states.
        """
        frames = None if self.frames is None else self.frames[..., chosen, :, :]
        return SteinFeatures(self.points[..., chosen, :], self.scores[..., chosen, :], frames)

    def to(self, device: torch.device) -> "SteinFeatures":
        """Return them on a device.

        Arguments:
            device: Where they are to lie.
        """
        frames = None if self.frames is None else self.frames.to(device)
        return SteinFeatures(self.points.to(device), self.scores.to(device), frames)

    def paired(self) -> "SteinFeatures":
        """Return them as batches of one state each, so that ``stein_matrix`` of two such gives pairs alone."""
        frames = None if self.frames is None else self.frames.unsqueeze(-3)
        return SteinFeatures(self.points.unsqueeze(-2), self.scores.unsqueeze(-2), frames)


def stein_matrix(kernel: BaseKernel, rows: SteinFeatures, columns: SteinFeatures) -> Tensor:
    """Return the Stein kernel of all pairs of two sets of states.

    Arguments:
        kernel: The base kernel, with a bandwidth.
        rows: The first states.
        columns: The second states.

    Returns:
        Shape ``(..., rows, columns)``.

    Raises:
        ValueError: If one of the sets has frames and the other has none.

    Error:
        Rounding, times the square of the spread of the points over the bandwidth.
    """
    if (rows.frames is None) != (columns.frames is None):
        raise ValueError("`rows` and `columns` must be features of one field; only one of them has frames.")
    # Distances are differences of squares, which lose what the points have in common: it is taken off before.
    common = columns.points.mean(-2, keepdim=True)
    z, w = rows.points - common, columns.points - common
    square = (z.square().sum(-1, keepdim=True) + w.square().sum(-1).unsqueeze(-2)).sub_(2 * (z @ w.mT)).clamp_(min=0.0)
    value, first, second = kernel.profile(square)
    b, c = rows.scores, columns.scores
    matrix = value * (b @ c.mT)
    if rows.frames is None or columns.frames is None:
        # b' . delta - b . delta, without the differences.
        slopes = z @ c.mT - (w * c).sum(-1).unsqueeze(-2) + b @ w.mT - (z * b).sum(-1, keepdim=True)
        return matrix + 2 * first * (slopes - z.shape[-1]) - 4 * second * square
    ahead = _along(rows.frames, z).unsqueeze(-2) - torch.einsum("...iek,...je->...ijk", rows.frames, w)
    behind = torch.einsum("...jek,...ie->...ijk", columns.frames, z) - _along(columns.frames, w).unsqueeze(-3)
    slopes = torch.einsum("...ijk,...jk->...ij", ahead, c) - torch.einsum("...ijk,...ik->...ij", behind, b)
    traces = rows.frames.flatten(-2) @ columns.frames.flatten(-2).mT
    return matrix + 2 * first * (slopes - traces) - 4 * second * (ahead * behind).sum(-1)


def _along(frames: Tensor, points: Tensor) -> Tensor:
    """Return the transposed frames applied to points, shape ``(..., n, k)``."""
    return (points.unsqueeze(-2) @ frames).squeeze(-2)
