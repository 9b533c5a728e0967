r"""The linear equations of the coefficients that minimise a score matching objective.

.. math:: \alpha = -(G + 10^\lambda 1)^{-1} b, \qquad G = E\left[\sum_p a_p a_p^T\right], \qquad
          b = E\left[c + \sum_p a_p\,a_{0p}\right]

with the slopes :math:`a_p` of the kernels, the sums :math:`c` of their second derivatives, and the slopes
:math:`a_{0p}` of the base measure, all along the curves of the objective.

Source: Wenliang, Sutherland, Strathmann and Gretton, Learning deep kernels for exponential family densities (2019),
proposition 3; Song, Garg, Shi and Ermon, Sliced score matching (2019), for slices; for fields derived.
"""

import dataclasses

import torch
from torch import Tensor

__all__ = ["NormalEquations"]


@dataclasses.dataclass(frozen=True)
class NormalEquations:
    """Sums over points from which the coefficients follow.

    Arguments:
        gram: Points times :math:`G`, shape ``(centre, centre)``.
        target: Points times :math:`b`, shape ``(centre,)``.
        points: How many points were summed over.
    """

    gram: Tensor
    target: Tensor
    points: int

    @classmethod
    def of(cls, slopes: Tensor, curvatures: Tensor, base_slopes: Tensor) -> "NormalEquations":
        """Return the sums over some points.

        Arguments:
            slopes: Shape ``(curve, batch, centre)``.
            curvatures: Shape ``(batch, centre)``.
            base_slopes: Shape ``(curve, batch)``.
        """
        rows = slopes.flatten(0, 1)
        return cls(rows.mT @ rows, curvatures.sum(0) + base_slopes.flatten() @ rows, len(curvatures))

    def __add__(self, other: "NormalEquations") -> "NormalEquations":
        return NormalEquations(self.gram + other.gram, self.target + other.target, self.points + other.points)

    def coefficients(self, log_ridge: Tensor) -> Tensor:
        r"""Return :math:`\alpha`, solved in double precision.

        Arguments:
            log_ridge: :math:`\lambda`, shape ``()``.

        Returns:
            Shape ``(centre,)``; not finite where the sums are not.
        """
        mean = self.gram.double() / self.points
        ridge = 10.0 ** log_ridge.double()
        matrix = mean + ridge * torch.eye(len(mean), dtype=torch.float64, device=mean.device)
        solved: Tensor = torch.linalg.solve_ex(matrix, self.target.double() / self.points)[0]
        return -solved.to(self.gram.dtype)
