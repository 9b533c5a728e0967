"""The exact Gaussian kernel, of processes that have one."""

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from physcore.process import Process
from physcore.score.kernels.kernel import Kernel, Transitions
from physcore.score.linearization import LocalLinearization
from physcore.score.transitions import DenseTransition, LocalTransition
from physcore.solvable import SolvableProcess

__all__ = ["ExactTransition"]

SAMPLES, SEED = 64, 0
TOLERANCE = 1e-9  # of the Jacobian, relative


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExactTransition(Kernel):
    """The transition law of a linear process, or the one that a solvable process gives.

    Error:
        None but rounding.

    Source: Gardiner, Handbook of Stochastic Methods (2004), section 4.4.6, for linear processes.
    """

    extrapolates: ClassVar[bool] = False

    def of(self, process: Process) -> Transitions:
        """Return the exact kernel of a process, if it is known; see ``Kernel.of``."""
        if isinstance(process, SolvableProcess) and type(process).transition is not SolvableProcess.transition:
            return _given(process)
        linearization = LocalLinearization(process)
        if linearization.autonomous and linearization.constant_noise and _linear(process):
            return linearization.transition
        raise ValueError(
            f"no exact Gaussian kernel of {type(process).__name__} is known: its drift is not linear in the state and "
            "constant in time, and it gives no `transition`. Use local-denoising."
        )


def _given(process: SolvableProcess) -> Transitions:
    def transitions(state: Tensor, start: Tensor, lag: Tensor) -> LocalTransition:
        law = process.transition(state.double(), start.double(), start.double() + lag.double())
        return DenseTransition(law.mean.T.to(state), law.factor.permute(1, 2, 0).to(state))

    return transitions


def _linear(process: Process) -> bool:
    """Return whether the Jacobian of an autonomous drift is the same at many states, near and far."""
    generator = torch.Generator().manual_seed(SEED)
    near = process.sample_initial(SAMPLES, generator).double()
    states = torch.cat([near, 10 * torch.randn(near.shape, generator=generator, dtype=torch.float64)])
    jacobian = process.jacobian(states, states.new_zeros(len(states)))
    return bool(((jacobian - jacobian[0]).abs().amax() <= TOLERANCE * jacobian.abs().amax()).item())
