r"""Times drawn where the loss is noisy, and weighted back.

.. math:: E[\ell] = \int_0^1 E[\ell\,|\,u]\,du = \int_0^1 g(u)\,\frac{E[\ell\,|\,u]}{g(u)}\,du,
          \qquad g(u) \propto \sqrt{E[\ell^2\,|\,u]}

:math:`u` is the uniform number that makes a time. The second moment of the weighted loss is least for this :math:`g`,
and its mean, hence the minimiser, is the same for every :math:`g > 0`.

Source: the variance-optimal proposal of importance sampling; for score learning Nichol and Dhariwal, Improved denoising
diffusion probabilistic models (2021), section 3.3. Departs from it: measured once before the fit, over bins of time.
"""

import dataclasses

import torch
from torch import Tensor

__all__ = ["TimeProposal"]

BINS = 64
UNIFORM_SHARE = 0.1  # no weight exceeds its inverse


@dataclasses.dataclass(frozen=True)
class TimeProposal:
    """A density on [0, 1], constant over bins of the same width.

    Arguments:
        density: Its values, mean one, shape ``(bin,)``, float64.
    """

    density: Tensor

    @classmethod
    def measured(cls, places: Tensor, losses: Tensor) -> "TimeProposal":
        """Return the proposal that suits measured losses.

        Arguments:
            places: Numbers u in [0, 1] of the losses, shape ``(sample,)``.
            losses: The losses, shape ``(sample,)``.
        """
        bins = (places.double() * BINS).long().clamp_(0, BINS - 1)
        squares = torch.where(torch.isfinite(losses), losses.double().square(), 0.0)
        zeros = squares.new_zeros(BINS)
        moment = zeros.index_add(0, bins, squares) / zeros.index_add(0, bins, torch.ones_like(squares)).clamp_(min=1)
        root = moment.sqrt()
        ideal = root / root.mean() if root.sum() > 0 else torch.ones_like(root)
        return cls((1 - UNIFORM_SHARE) * ideal + UNIFORM_SHARE)

    def drawn(self, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Turn uniform numbers into numbers that follow the density.

        Arguments:
            uniform: Numbers in [0, 1), any shape, float64.

        Returns:
            The numbers, and the factors that undo the uneven choice, the inverse of the density.
        """
        total = torch.cumsum(self.density, 0) / self.density.sum()
        bins = torch.searchsorted(total, uniform, right=True).clamp_(max=len(total) - 1)
        below = torch.where(bins > 0, total[bins - 1], 0.0)
        inside = (uniform - below) / (total[bins] - below)
        return (bins + inside) / len(total), self.density.mean() / self.density[bins]
