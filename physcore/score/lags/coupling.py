r"""The process and its kernel from the same starts with the same noise.

The process linearised at its start, :math:`dZ = (f_s + J_s Z + \partial_s f\,\tau)\,d\tau + G\,dW`, has a Gaussian law
that is known exactly, step by step. What the process does beyond it, :math:`D = y - y_s - Z`, obeys an equation without
noise,

.. math:: \dot D = f(y_s + Z + D, s + \tau) - f_s - J_s Z - \partial_s f\,\tau,

so pairs of a state of the process and a state of any Gaussian kernel, made of the same noise, differ by what the
kernel gets wrong and by nothing else: not by a scheme's error in the noise, and not by chance.

Source: derived.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from physcore.linear_flow import LinearFlow, linear_flow
from physcore.process import Process
from physcore.score.kernels import Transitions
from physcore.score.transitions import LocalTransition
from physcore.small_matrices import cholesky, multiply, solve_lower

__all__ = ["Pairs", "coupled_pairs"]

FIRST_STEPS, STEPS = 8, 4  # to the first lag, and from each to the next


@dataclasses.dataclass(frozen=True)
class Pairs:
    """States of the process and of its kernel a lag after the same starts, with the same noise.

    Arguments:
        lag: The lag.
        true: States of the process, shape ``(batch, component)``.
        kernel: States of the kernel.
        transition: The kernel from each start.
    """

    lag: float
    true: Tensor
    kernel: Tensor
    transition: LocalTransition


def coupled_pairs(
    process: Process,
    transitions: Transitions,
    state: Tensor,
    time: Tensor,
    lags: Sequence[float],
    generator: torch.Generator,
) -> Iterator[Pairs]:
    """Yield pairs for increasing lags, all of the same noise.

    Arguments:
        process: The process.
        transitions: Its kernel.
        state: Starts, shape ``(batch, component)``, float64.
        time: Their times, shape ``(batch,)``.
        lags: Lags, increasing.
        generator: Source of randomness.

    Raises:
        NumericalError: If the kernel cannot be computed at a lag.

    Error:
        The difference of a pair is integrated by the trapezoidal rule with 8 steps and more, of a tenth of the lag
        where lags grow by a third: to some 2 % of itself.
    """
    linear = _LinearMotion(process, state, time)
    beyond, elapsed = torch.zeros_like(linear.mean), 0.0
    for number, lag in enumerate(lags):
        steps = FIRST_STEPS if number == 0 else STEPS
        dt = (lag - elapsed) / steps
        for _ in range(steps):
            before = linear.excess(beyond, elapsed)
            linear.advance(elapsed, dt, generator)
            elapsed += dt
            after = linear.excess(beyond + dt * before, elapsed)
            beyond = beyond + dt / 2 * (before + after)
        elapsed = lag
        transition = transitions(state, time, torch.full_like(time, lag))
        yield Pairs(lag, linear.process_state(beyond), transition.state(linear.white), transition)


class _LinearMotion:
    """The displacement of the process linearised at its starts: one realisation, with its mean and covariance."""

    def __init__(self, process: Process, state: Tensor, time: Tensor) -> None:
        self.process, self.state, self.time = process, state, time
        self.jacobian = process.jacobian(state, time).permute(1, 2, 0).contiguous()
        self.force = process.drift(state, time).T.contiguous()
        self.force_rate = process.drift_rate(state, time).T.contiguous()
        self.mean = torch.zeros_like(self.force)
        self.place = self.mean
        self.covariance = torch.zeros_like(self.jacobian)

    def advance(self, elapsed: float, dt: float, generator: torch.Generator) -> None:
        """Advance the realisation and its law by an exact step."""
        flow = self._flow(elapsed, dt)
        noise = torch.randn(self.mean.shape, generator=generator, dtype=self.mean.dtype)
        shaken = multiply(cholesky(flow.covariance), noise)
        self.mean = multiply(flow.propagator, self.mean) + flow.displacement
        self.place = multiply(flow.propagator, self.place) + flow.displacement + shaken
        carried = multiply(multiply(flow.propagator, self.covariance), flow.propagator.transpose(0, 1))
        self.covariance = carried + flow.covariance

    def excess(self, beyond: Tensor, elapsed: float) -> Tensor:
        """Return the drift of the process less that of the linear motion, shape ``(component, batch)``."""
        drift = self.process.drift(self.process_state(beyond), self.time + elapsed).T
        return drift - self.force - multiply(self.jacobian, self.place) - self.force_rate * elapsed

    def process_state(self, beyond: Tensor) -> Tensor:
        """Return the states of the process, shape ``(batch, component)``."""
        return self.state + (self.place + beyond).T

    @property
    def white(self) -> Tensor:
        """The noise so far as standard normals, shape ``(component, batch)``."""
        return solve_lower(cholesky(self.covariance), self.place - self.mean)

    def _flow(self, elapsed: float, dt: float) -> LinearFlow:
        early, late = self._diffusion(elapsed), self._diffusion(elapsed + dt)
        return linear_flow(
            self.jacobian,
            self.force + self.force_rate * elapsed,
            early,
            torch.full_like(self.time[:1], dt),
            self.force_rate,
            (late - early) / dt,
        )

    def _diffusion(self, elapsed: float) -> Tensor:
        noise = self.process.noise_for(self.state, self.time + elapsed)
        diffusion = noise @ noise.mT
        return diffusion.unsqueeze(-1) if diffusion.ndim == 2 else diffusion.permute(1, 2, 0)
