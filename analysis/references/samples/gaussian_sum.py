r"""The average of very many Gaussians: its log density and score at very many points.

.. math:: q(x) = \sum_j w_j\,N(x; m_j, P_j), \qquad s(x) = \sum_j r_j(x)\,P_j^{-1} (m_j - x), \qquad
          r_j \propto w_j\,N(x; m_j, P_j)

Every exponent is a polynomial of second degree in :math:`x`, of first degree but for a common term where all
Gaussians have one covariance. So a table of coefficients times the powers of the points gives all exponents, and the
table's average with the shares :math:`r_j` gives the score: two matrix products and one exponential for each pair.

Gaussians and points are divided into boxes, in coordinates in which the mean covariance is the identity. A box of
points takes part with those boxes of Gaussians that reach into it, to a distance beyond which all together add less
than rounding; points so far out that this does not hold are answered with all Gaussians. The largest exponent is taken
out of every sum, so nothing overflows or vanishes.

Source: McLachlan and Peel, Finite Mixture Models (2000), chapter 3, for the sums; the boxes: Gray and Moore, N-body
problems in statistical learning (2001).
"""

import dataclasses
import math

import torch
from torch import Tensor

from analysis.references.samples.partition import partition
from analysis.references.samples.quadratic import coefficients, gradient, powers

__all__ = ["GaussianSum"]

POINTS, GAUSSIANS = 256, 128  # in a box
CHUNK = 4096  # Gaussians at a time: what is in work stays near the processor
NEGLIGIBLE = 9.0  # minus the logarithm of what all left out may add, relative to the density
SMALLEST = -100.0  # exponents are cut here: smaller ones add nothing, and subnormal numbers are slow


class GaussianSum:
    r"""An average of Gaussians.

    Arguments:
        mean: Means :math:`m_j`, shape ``(gaussian, component)``.
        factor: Lower Cholesky factors of the covariances, shape ``(component, component, gaussian)``, or
            ``(component, component, 1)`` where one serves all.
        log_weight: Logarithms of weights with sum 1, shape ``(gaussian,)``; equal weights when None.

    Error:
        Of what is left out, 1e-4 at most of a density and by far less of a score; rounding.
    """

    def __init__(self, mean: Tensor, factor: Tensor, log_weight: Tensor | None = None) -> None:
        mean, factor = mean.double().cpu(), factor.double().cpu()
        count, d = mean.shape
        self._shared = factor.shape[-1] == 1
        lower = factor.permute(2, 0, 1)
        inverse = torch.linalg.inv(torch.linalg.cholesky((lower @ lower.mT).mean(0)))
        self._frame = _Frame(mean.mean(0), inverse)
        whitened = self._frame.of(mean)
        boxes = partition(whitened, GAUSSIANS)
        order = torch.cat(boxes)
        whitened = whitened[order]
        scaled = (inverse @ (lower if self._shared else lower[order])).permute(1, 2, 0)
        weight = torch.full((count,), -math.log(count), dtype=mean.dtype) if log_weight is None else log_weight
        weight = weight.double().cpu()[order]
        self._table = coefficients(whitened, scaled, weight, second=not self._shared)
        self._reach = math.sqrt(2 * (math.log(count) + NEGLIGIBLE))
        spread = self._reach * scaled.square().sum(1).sqrt().T.expand(count, d)
        self._ends = torch.tensor([0, *(len(box) for box in boxes)]).cumsum(0).tolist()
        parts = list(zip(self._ends[:-1], self._ends[1:], strict=True))
        self._lower = torch.stack([(whitened[a:b] - spread[a:b]).amin(0) for a, b in parts])
        self._upper = torch.stack([(whitened[a:b] + spread[a:b]).amax(0) for a, b in parts])
        heights = (weight - scaled.diagonal().log().sum(-1)).expand(count)
        self._highest = torch.stack([heights[a:b].amax() for a, b in parts])
        self._norm = self._frame.log_determinant - 0.5 * d * math.log(2 * math.pi)

    @property
    def numbers(self) -> int:
        """How many numbers are held."""
        return self._table.numel()

    def score(self, points: Tensor) -> Tensor:
        """Return the score, shape of ``points``; see ``evaluate``."""
        return self.evaluate(points)[1]

    def log_density(self, points: Tensor) -> Tensor:
        """Return the log density, shape ``(point,)``; see ``evaluate``."""
        return self.evaluate(points)[0]

    def evaluate(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return log density and score.

        Arguments:
            points: Points, shape ``(point, component)``.

        Returns:
            Shapes ``(point,)`` and ``(point, component)``, float64; NaN at points that are not finite.
        """
        density = points.new_full((len(points),), torch.nan, dtype=torch.float64, device="cpu")
        score = torch.full(points.shape, torch.nan, dtype=torch.float64)
        finite = torch.isfinite(points).all(-1).cpu().nonzero().squeeze(-1)
        places = self._frame.of(points.double().cpu()[finite])
        for box in partition(places, POINTS):
            rows = finite[box]
            density[rows], score[rows] = self._in_box(places[box])
        return density + self._norm, score @ self._frame.inverse

    def _in_box(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return logarithm of the sum and its gradient at points of one box."""
        near = ((self._lower <= points.amax(0)) & (self._upper >= points.amin(0))).all(-1)
        logarithm, slope = self._summed(points, near)
        if not near.all():
            far = ~(logarithm >= self._needed(near))
            if far.any():
                logarithm[far], slope[far] = self._summed(points[far], torch.ones_like(near))
        return logarithm, slope

    def _needed(self, near: Tensor) -> float:
        """Return what the logarithm of a sum must reach for the boxes left out of it to be negligible."""
        return float(self._highest[~near].max()) + math.log(len(self._table)) - 0.5 * self._reach**2 + NEGLIGIBLE

    def _summed(self, points: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Return logarithm of the sum over some boxes of Gaussians, and its gradient."""
        known = powers(points, second=not self._shared)
        highest = points.new_full((len(points), 1), -torch.inf)
        total, moments = torch.zeros_like(highest), torch.zeros_like(known)
        for table in self._chunks(boxes):
            exponents = known @ table.T
            higher = torch.maximum(highest, exponents.amax(1, keepdim=True))
            shares = exponents.sub_(higher).clamp_(min=SMALLEST).exp_()
            fading = torch.exp(highest - higher)
            total = total * fading + shares.sum(1, keepdim=True)
            moments = moments * fading + shares @ table
            highest = higher
        logarithm = (highest + total.log()).squeeze(-1)
        slope = gradient(points, moments / total)
        if self._shared:
            return logarithm - 0.5 * points.square().sum(-1), slope - points
        return logarithm, slope

    def _chunks(self, boxes: Tensor) -> list[Tensor]:
        if boxes.all():
            return list(torch.split(self._table, CHUNK))
        chosen = [slice(self._ends[k], self._ends[k + 1]) for k in boxes.nonzero().squeeze(-1).tolist()]
        return list(torch.split(torch.cat([self._table[part] for part in chosen]), CHUNK)) if chosen else []


@dataclasses.dataclass(frozen=True)
class _Frame:
    """Coordinates in which the mean covariance is the identity."""

    origin: Tensor
    inverse: Tensor

    def of(self, points: Tensor) -> Tensor:
        return (points - self.origin) @ self.inverse.T

    @property
    def log_determinant(self) -> float:
        return float(self.inverse.diagonal().log().sum())
