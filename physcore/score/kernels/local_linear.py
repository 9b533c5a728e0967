"""The kernel of the process linearised at the start state."""

import dataclasses

from physcore.process import Process
from physcore.score.kernels.kernel import Kernel, Transitions
from physcore.score.linearization import LocalLinearization

__all__ = ["LocalLinear"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocalLinear(Kernel):
    """The drift to first order in state and time about the start state.

    Arguments:
        curvature: Whether the mean follows the curvature of the drift as well, at the cost of second derivatives.

    Error:
        See ``LocalLinearization.transition``.

    Source: Singhal, Goldstein and Ranganath, What's the score? Automated denoising score matching for nonlinear
        diffusions (2024), the local linear process of Figure 1.
    """

    curvature: bool = False

    def of(self, process: Process) -> Transitions:
        """Return the kernel of a process; see ``Kernel.of``."""
        return LocalLinearization(process, curvature=self.curvature).transition
