r"""The local linear Gaussian transition of a nonlinear process.

The drift is expanded to first order in state and time about :math:`(y_s, s)`,

.. math:: T_s f(y, t) = f_s + J_s (y - y_s) + \partial_s f\,(t - s),

so that :math:`y_t` given :math:`y_s` is Gaussian with mean :math:`m`, covariance :math:`P = L L^T`, and

.. math:: y_t = m + L \varepsilon, \qquad \nabla_{y_t} \log \hat q(y_t | y_s) = -L^{-T} \varepsilon .

Source: Singhal, Goldstein and Ranganath, What's the score? Automated denoising score matching for nonlinear
diffusions (2024), the local linear process of Figure 1; the closed forms are derived.
"""

import dataclasses

import torch
from torch import Tensor

from physcore.linear_flow import LinearFlow, linear_flow
from physcore.process import Process
from physcore.small_matrices import cholesky, solve_transposed

__all__ = ["LocalLinearization", "LocalTransition"]


@dataclasses.dataclass(frozen=True)
class LocalTransition:
    """Gaussian transitions from a batch of states, held component first.

    Arguments:
        mean: Means :math:`m`, shape ``(d, batch)``.
        factor: Lower Cholesky factors :math:`L` of the covariances, shape ``(d, d, batch)``, or ``(d, d, 1)`` where
            one serves all.
    """

    mean: Tensor
    factor: Tensor

    def state(self, noise: Tensor) -> Tensor:
        r"""Return :math:`m + L \varepsilon`, shape ``(batch, d)``, for noise of shape ``(d, batch)``."""
        return (self.mean + (self.factor * noise.unsqueeze(0)).sum(1)).T

    def score(self, noise: Tensor) -> Tensor:
        r"""Return :math:`-L^{-T} \varepsilon`, shape ``(batch, d)``, for noise of shape ``(d, batch)``."""
        return -solve_transposed(self.factor, noise).T

    @property
    def covariance(self) -> Tensor:
        """The covariances, shape ``(batch, d, d)``."""
        lower = self.factor.permute(2, 0, 1)
        return (lower @ lower.mT).expand(self.mean.shape[-1], -1, -1)


class LocalLinearization:
    """The first-order expansion of a process's drift about any state and time.

    Arguments:
        process: The process; its Jacobian is used as it gives it, closed form or autodiff.
    """

    def __init__(self, process: Process) -> None:
        self.process = process
        self.autonomous = not _drift_depends_on_time(process)
        self.constant_noise = process.noise(torch.zeros(2, dtype=torch.float64)).ndim == 2

    def flow(self, state: Tensor, time: Tensor, duration: Tensor) -> LinearFlow:
        """Return displacement and covariance that the linearised dynamics build up.

        Arguments:
            state: States to expand about, shape ``(batch, d)``.
            time: Times to expand about, shape ``(batch,)``.
            duration: How long the linearised dynamics run, shape ``(batch,)`` or ``(1,)``.

        Returns:
            The flow, component first; batches of 1 where it is the same for all.
        """
        process = self.process
        jacobian = process.jacobian(state, time)
        if jacobian.stride(0) == 0:
            # The same matrix for all, as in linear processes: one propagator serves the whole batch.
            jacobian = jacobian[:1]
        jacobian = jacobian.permute(1, 2, 0).contiguous()
        force = process.drift(state, time).T.contiguous()
        force_rate = None if self.autonomous else process.drift_rate(state, time).T.contiguous()
        diffusion, diffusion_rate = self._diffusion(state, time), None
        if not self.constant_noise:
            diffusion_rate = (self._diffusion(state, time + duration) - diffusion) / duration
        return linear_flow(jacobian, force, diffusion, duration, force_rate, diffusion_rate)

    def transition(self, state: Tensor, time: Tensor, lag: Tensor) -> LocalTransition:
        """Return the Gaussian transition over a lag.

        Arguments:
            state: Start states :math:`y_s`, shape ``(batch, d)``.
            time: Start times :math:`s`, shape ``(batch,)``.
            lag: Lags :math:`t - s > 0`, shape ``(batch,)`` or ``(1,)``.

        Returns:
            Means and Cholesky factors.

        Raises:
            NumericalError: If noise does not reach every component within the lag.

        Error:
            Mean O(lag^2) for driven components, O(lag^3) for a component one integration away from the noise.
        """
        flow = self.flow(state, time, lag)
        return LocalTransition(state.T + flow.displacement, cholesky(flow.covariance))

    def _diffusion(self, state: Tensor, time: Tensor) -> Tensor:
        noise = self.process.noise_for(state, time)
        diffusion = noise @ noise.mT
        return diffusion.unsqueeze(-1) if diffusion.ndim == 2 else diffusion.permute(1, 2, 0)


def _drift_depends_on_time(process: Process) -> bool:
    with torch.enable_grad():
        state = torch.zeros(1, process.dimension, dtype=torch.float64)
        time = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        drift = process.drift(state, time)
        if not drift.requires_grad:
            return False
        return torch.autograd.grad(drift.sum(), time, allow_unused=True)[0] is not None
