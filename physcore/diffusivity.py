r"""The diffusion matrix of a process at one time, applied and solved.

.. math:: D = \tfrac12 G G^T

It may be degenerate; then it is solved on its range, the space of the directions that noise reaches.
"""

import dataclasses

import torch
from torch import Tensor

from physcore.process import Process

__all__ = ["Diffusivity", "check_additive"]

SMALLEST = 1e-12  # of the largest eigenvalue, below which a direction is without noise


@dataclasses.dataclass(frozen=True)
class Diffusivity:
    """A symmetric, positive semi-definite diffusion matrix :math:`D`.

    Arguments:
        values: Its diagonal, shape ``(component,)``, where it has nothing else; else the whole of it, shape
            ``(component, component)``, [state^2 / time].
    """

    values: Tensor

    @classmethod
    def of(cls, process: Process, time: Tensor) -> "Diffusivity":
        """Return the diffusion matrix of a process, in float64.

        Arguments:
            process: The process.
            time: One time, shape ``()``.

        Raises:
            ValueError: If the noise depends on the state.
        """
        check_additive(process)
        strengths = process.noise_strengths
        if strengths is not None:
            return cls(0.5 * strengths.to(dtype=torch.float64, device=time.device).square())
        noise = process.noise_for(torch.zeros(process.dimension, dtype=torch.float64, device=time.device), time)
        matrix = 0.5 * noise @ noise.mT
        diagonal = matrix.diagonal()
        return cls(diagonal if torch.equal(matrix, torch.diag(diagonal)) else matrix)

    def apply(self, vector: Tensor) -> Tensor:
        """Return :math:`D v`, shape of the vectors ``(..., component)``."""
        values = self.values.to(vector)
        return vector * values if values.ndim == 1 else vector @ values

    def solve(self, vector: Tensor) -> Tensor:
        """Return :math:`D^+ v` with the pseudo-inverse, shape of the vectors ``(..., component)``."""
        if self.values.ndim == 1:
            reached = self.values > SMALLEST * self.values.max()
            inverse = torch.where(reached, 1 / torch.where(reached, self.values, 1.0), 0.0)
            return vector * inverse.to(vector)
        inverse = torch.linalg.pinv(self.values, rtol=SMALLEST, hermitian=True)
        solved: Tensor = vector @ inverse.to(vector)
        return solved

    def reflected(self, signs: Tensor) -> "Diffusivity":
        r"""Return :math:`\epsilon D \epsilon` for signs :math:`\epsilon`, shape ``(component,)``."""
        if self.values.ndim == 1:
            return self
        return Diffusivity(signs.unsqueeze(-1) * self.values * signs)


def check_additive(process: Process) -> None:
    """Refuse noise that depends on the state.

    Arguments:
        process: The process.

    Raises:
        ValueError: If it has such noise.
    """
    if process.noise_type != "additive":
        raise ValueError(
            f"{type(process).__name__} has noise that depends on the state, and this needs additive noise. A "
            "TransformedProcess has a `reverse_drift` and a `probability_flow` of its own; or use the original process."
        )
