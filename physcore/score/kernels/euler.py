"""The kernel of one Euler-Maruyama step."""

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from physcore.process import Process
from physcore.score.kernels.kernel import Kernel, Transitions
from physcore.score.transitions import DenseTransition, LocalTransition
from physcore.small_matrices import cholesky

__all__ = ["Euler"]

TIMES = (0.0, 0.1, 1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Euler(Kernel):
    r"""Drift and noise frozen at the start, :math:`y_t \sim N(y_s + h f, h\,G G^T)`.

    Error:
        Mean O(lag^2), covariance O(lag^2).

    Source: Kloeden and Platen, Numerical Solution of Stochastic Differential Equations (1992), section 10.2.
    """

    extrapolates: ClassVar[bool] = False

    def of(self, process: Process) -> Transitions:
        """Return the kernel of a process with noise on every component; see ``Kernel.of``."""
        # Noise may set in after the start; a direction without any at all these times is taken to have none.
        noise = torch.stack([process.noise(torch.tensor(time, dtype=torch.float64)).double() for time in TIMES])
        rank = int(torch.linalg.matrix_rank(noise).max())
        if rank < process.dimension:
            raise ValueError(
                f"the Euler kernel needs noise in every direction; that of {type(process).__name__} drives {rank} of "
                f"{process.dimension}, so one step has no density. Use local-denoising, whose kernel carries noise on."
            )

        def transitions(state: Tensor, start: Tensor, lag: Tensor) -> LocalTransition:
            noise = process.noise_for(state, start)
            diffusion = noise @ noise.mT
            constant = diffusion.ndim == 2
            factor = cholesky(diffusion.unsqueeze(-1) if constant else diffusion.permute(1, 2, 0))
            return DenseTransition(state.T + process.drift(state, start).T * lag, factor * lag.sqrt())

        return transitions
