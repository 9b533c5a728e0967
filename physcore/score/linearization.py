r"""The local linear Gaussian transition of a nonlinear process.

The drift is expanded to first order in state and time about :math:`(y_s, s)`,

.. math:: T_s f(y, t) = f_s + J_s (y - y_s) + \partial_s f\,(t - s),

so that :math:`y_t` given :math:`y_s` is Gaussian with mean :math:`m`, covariance :math:`P = L L^T`, and

.. math:: y_t = m + L \varepsilon, \qquad \nabla_{y_t} \log \hat q(y_t | y_s) = -L^{-T} \varepsilon .

Where the process has a clock, :math:`f = B'(t)\,b(x)` and :math:`Q = B'(t)\,q`, the expansion in time is exact: the
dynamics are those at any one time :math:`r`, run for :math:`(B(t) - B(s)) / B'(r)`.

What the curvature of the drift adds to the mean is, to leading order, that of a drift that gains
:math:`\tfrac12\,\mathrm{tr}(Q\,\nabla^2 f)` with time, beside :math:`\partial_s f`.

Source: Singhal, Goldstein and Ranganath, What's the score? Automated denoising score matching for nonlinear
diffusions (2024), the local linear process of Figure 1; the closed forms are derived. The curvature: Shoji and Ozaki,
Estimation for nonlinear stochastic differential equations by a local linearization method (1998).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from physcore.errors import NumericalError
from physcore.fused_flow import FEWEST_EQUATIONS
from physcore.fusion import CompilerMissing, TooLarge, Untraceable, readable
from physcore.linear_flow import LinearFlow, linear_flow
from physcore.process import Process
from physcore.score.forms import Expansion, SharedForm, form_of
from physcore.score.fused_transition import FusedTransition
from physcore.score.transitions import DenseTransition, LocalTransition
from physcore.small_matrices import cholesky

__all__ = ["LocalLinearization"]

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-8}


class LocalLinearization:
    """The first-order expansion of a process's drift about any state and time.

    Arguments:
        process: The process; its Jacobian is used as it gives it, closed form or autodiff.
        curvature: Whether the mean follows the curvature of the drift.
    """

    def __init__(self, process: Process, *, curvature: bool = False) -> None:
        self.process = process
        self.curvature = curvature
        self.autonomous = not _drift_depends_on_time(process)
        self.constant_noise = process.noise(torch.zeros(2, dtype=torch.float64)).ndim == 2
        self.separable = process.clock(torch.zeros(1, dtype=torch.float64)) is not None
        self._fused: dict[torch.dtype, FusedTransition | None] = {}
        self._form = form_of(process)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the kernels out of copies, which cannot hold them and get their own."""
        return {**vars(self), "_fused": {}}

    @property
    def same_everywhere(self) -> bool:
        """Whether many components have one Jacobian and one noise for all states and times, as in linear processes."""
        return isinstance(self._form, SharedForm)

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
        time, duration = self._by_clock(time, duration)
        jacobian = process.jacobian(state, time)
        if jacobian.stride(0) == 0:
            # The same matrix for all, as in linear processes: one propagator serves the whole batch.
            jacobian = jacobian[:1]
        jacobian = jacobian.permute(1, 2, 0).contiguous()
        force = process.drift(state, time).T.contiguous()
        force_rate = self._force_rate(state, time)
        force_rate = None if force_rate is None else force_rate.T.contiguous()
        diffusion, diffusion_rate = self._diffusion(state, time), None
        if not (self.constant_noise or self.separable):
            diffusion_rate = (self._diffusion(state, time + duration) - diffusion) / duration
        if isinstance(self._form, SharedForm) and len(duration) == 1:
            return self._form.response(jacobian, diffusion, duration).flow(force, force_rate)
        return linear_flow(jacobian, force, diffusion, duration, force_rate, diffusion_rate)

    def moments(self, state: Tensor, time: Tensor, duration: Tensor) -> tuple[Tensor, Tensor]:
        """Return displacement and covariance alone, component first; see ``flow``.

        Arguments:
            state: States to expand about.
            time: Times to expand about.
            duration: How long the linearised dynamics run.
        """
        kernel = self._kernel(state, time, duration)
        if kernel is not None:
            return kernel.moments(state, *self._by_clock(time.to(state.dtype), duration.to(state.dtype)))
        flow = self.flow(state, time, duration)
        return flow.displacement, flow.covariance

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
            Mean O(lag^2) for driven components, O(lag^3) for a component one integration away from the noise; with
            ``curvature`` O(lag^3) for all.
        """
        kernel = self._kernel(state, time, lag)
        if kernel is not None:
            return DenseTransition(*kernel(state, *self._by_clock(time.to(state.dtype), lag.to(state.dtype))))
        special = self._of_special_form(state, time, lag)
        if special is not None:
            return special
        flow = self.flow(state, time, lag)
        return DenseTransition(state.T + flow.displacement, cholesky(flow.covariance))

    def _of_special_form(self, state: Tensor, time: Tensor, lag: Tensor) -> LocalTransition | None:
        """Return the transition without a matrix for each state, None where the process has no such form."""
        if self._form is None:
            return None
        time, duration = self._by_clock(time, lag)
        expansion = Expansion(
            state=state,
            time=time,
            duration=duration,
            force=self.process.drift(state, time),
            force_rate=self._force_rate(state, time),
            frozen_noise=self.constant_noise or self.separable,
        )
        return self._form.transition(expansion)

    def _kernel(self, state: Tensor, time: Tensor, lag: Tensor) -> FusedTransition | None:
        """Return a compiled kernel for these states, None where torch serves better or no kernel can."""
        batch = len(state)
        fit = state.shape == (batch, self.process.dimension) and {*time.shape, *lag.shape} <= {1, batch}
        if not fit or batch < FEWEST_EQUATIONS or not all(map(readable, (state, time, lag))):
            return None
        if state.dtype not in self._fused:
            kernel = self._compiled(state)
            try:
                agrees = kernel is not None and self._agrees(kernel, state, time, lag)
            except NumericalError:
                return None  # nothing can be compared; torch says whether it is so
            self._fused[state.dtype] = kernel if agrees else None
        kernel = self._fused[state.dtype]
        # Where one propagator serves all states torch computes it once.
        return None if kernel is None or (kernel.shares_propagator and len(lag) == 1) else kernel

    def _compiled(self, state: Tensor) -> FusedTransition | None:
        """Return a kernel for states of a precision, None if there cannot be one."""
        with torch.enable_grad():
            one = torch.zeros(1, self.process.dimension, dtype=torch.float64)
            if any(x.requires_grad for x in (self.process.drift(one, one[:, 0]), self.process.noise(one[:, 0]))):
                return None  # what may be learned is not to be compiled in
        try:
            return FusedTransition(self._expansion, self.process.dimension, state.dtype)
        except (Untraceable, TooLarge, CompilerMissing):
            return None

    def _expansion(self, state: Tensor, time: Tensor, lag: Tensor) -> Tensor:
        """Return all that a kernel needs to know of the process, shape ``(batch, entry)``; see ``FusedTransition``."""
        process, batch = self.process, len(state)
        rows, columns = torch.tril_indices(process.dimension, process.dimension).tolist()
        diffusion = self._diffusion(state, time)
        parts = [process.jacobian(state, time).flatten(1), process.drift(state, time), diffusion[rows, columns].T]
        force_rate = self._force_rate(state, time)
        frozen_noise = self.constant_noise or self.separable
        if force_rate is not None or not frozen_noise:
            later = diffusion if frozen_noise else self._diffusion(state, time + lag)
            parts += [torch.zeros_like(state) if force_rate is None else force_rate]
            parts += [((later - diffusion) / lag)[rows, columns].T]
        return torch.cat([part.expand(batch, -1) for part in parts], -1)

    def _agrees(self, kernel: FusedTransition, state: Tensor, time: Tensor, lag: Tensor) -> bool:
        """Return whether a kernel does what torch does, which a drift's look at values would spoil."""
        # So few that torch computes them.
        few = slice(0, FEWEST_EQUATIONS - 1)
        state = state[few]
        time, lag = ((each if len(each) == 1 else each[few]).to(state.dtype) for each in (time, lag))
        displacement, covariance = kernel.moments(state, *self._by_clock(time, lag))
        flow = self.flow(state, time, lag)
        size = torch.diagonal(flow.covariance).T.sqrt()
        scale = (state.T + flow.displacement).abs().amax(-1) + flow.displacement.abs().amax(-1)
        apart = [
            (displacement - flow.displacement).abs().amax(-1) / (scale + torch.finfo(state.dtype).tiny),
            ((covariance - flow.covariance) / (size.unsqueeze(0) * size.unsqueeze(1))).abs(),
        ]
        return all(bool((each <= TOLERANCE[state.dtype]).all()) for each in apart)

    def _force_rate(self, state: Tensor, time: Tensor) -> Tensor | None:
        """Return what the drift gains with time along the mean, shape ``(batch, d)``, None where nothing is known."""
        rate = None if self.autonomous or self.separable else self.process.drift_rate(state, time)
        if self.curvature:
            curvature = _curvature(self.process, state, time)
            rate = curvature if rate is None else rate + curvature
        return rate

    def _by_clock(self, time: Tensor, duration: Tensor) -> tuple[Tensor, Tensor]:
        """Return a time, and how long the dynamics as they are then take to do what they do in a duration from another.

        Without a clock they are the given ones.
        """
        if not self.separable:
            return time, duration
        # In the middle, where the clock runs even if it starts from rest.
        start, length = time.double(), duration.double()
        middle = start + length / 2
        clock = self._clock
        equivalent = (clock(start + length) - clock(start)) / _slope(clock, middle)
        return middle.to(time.dtype), equivalent.to(duration.dtype)

    def _clock(self, time: Tensor) -> Tensor:
        reading = self.process.clock(time)
        if reading is None:
            raise ValueError(f"{type(self.process).__name__}.clock gives a reading at some times and not at others.")
        return reading

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


def _slope(function: Callable[[Tensor], Tensor], time: Tensor) -> Tensor:
    """Return the derivative of a function of time at times of shape ``(batch,)``."""
    if torch._C._functorch.peek_interpreter_stack() is not None:
        # Inside another transform only transforms differentiate.
        slope: Tensor = torch.func.jvp(function, (time,), (torch.ones_like(time),))[1]
        return slope
    further = time.requires_grad and torch.is_grad_enabled()
    with torch.enable_grad():
        watched = time if further else time.detach().requires_grad_()
        return torch.autograd.grad(function(watched).sum(), watched, create_graph=further)[0]


def _curvature(process: Process, state: Tensor, time: Tensor) -> Tensor:
    """Return half the trace of diffusion times second derivatives of the drift, shape ``(batch, d)``."""
    total = torch.zeros_like(state)
    for column in _noise_columns(process, state, time):
        direction = column.expand_as(state).contiguous()

        def slope(point: Tensor, direction: Tensor = direction) -> Tensor:
            tangent: Tensor = torch.func.jvp(lambda x: process.drift(x, time), (point,), (direction,))[1]
            return tangent

        total = total + torch.func.jvp(slope, (state,), (direction,))[1].to(state.dtype) / 2
    return total


def _noise_columns(process: Process, state: Tensor, time: Tensor) -> tuple[Tensor, ...]:
    """Return the directions of the noises; their sum where each acts on a component that no other one feels."""
    if process.componentwise:
        return (process.diffuse(state.new_ones(len(time), process.noises), time, state),)
    return process.noise_for(state, time).unbind(-1)
