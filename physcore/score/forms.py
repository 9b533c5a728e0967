"""Special forms of a process's linearisation, with which no matrix is made for each state.

In many components a Jacobian for each state is more than a computer holds or a fit has time for. Three kinds of
process need none: whose components each move by themselves, whose drift pulls alike in all but a few directions, and
whose linearisation is the same everywhere.
"""

import abc
import dataclasses

import torch
from torch import Tensor

from physcore.fused_flow import LARGEST_DIMENSION
from physcore.linear_flow import LinearFlow, LinearResponse, linear_flow, linear_response
from physcore.process import Process
from physcore.score.transitions import (
    ComponentwiseTransition,
    LocalTransition,
    LowRankTransition,
    SharedTransitions,
)

__all__ = ["ComponentwiseForm", "Expansion", "Form", "LowRankForm", "SharedForm", "form_of"]

TIMES = (0.0, 0.1, 1.0)
SAMPLES, SEED = 4, 0
TOLERANCE = 1e-9


@dataclasses.dataclass(frozen=True)
class Expansion:
    """A drift expanded about a batch of states, to be followed for a while.

    Arguments:
        state: States, shape ``(batch, d)``.
        time: Times, shape ``(batch,)`` or ``(1,)``.
        duration: How long the linearised dynamics run, shape likewise.
        force: Drift there, shape ``(batch, d)``.
        force_rate: What the drift gains with time, shape ``(batch, d)``; None where nothing.
        frozen_noise: Whether the noise does not change meanwhile.
    """

    state: Tensor
    time: Tensor
    duration: Tensor
    force: Tensor
    force_rate: Tensor | None
    frozen_noise: bool


class Form(abc.ABC):
    """One special form.

    Arguments:
        process: The process, of that form.
    """

    def __init__(self, process: Process) -> None:
        self.process = process

    @abc.abstractmethod
    def transition(self, expansion: Expansion) -> LocalTransition | None:
        """Return the transition of an expansion, None where the plain form serves better."""


def form_of(process: Process) -> Form | None:
    """Return the form of a process, None where it has none or too few components to gain by it.

    Raises:
        ValueError: If the process is not of the form that it says it is of.
    """
    if process.dimension <= LARGEST_DIMENSION:
        return None
    if process.componentwise:
        return ComponentwiseForm(process)
    with torch.enable_grad():
        state = process.sample_initial(2, torch.Generator().manual_seed(SEED)).double()
        time = torch.zeros(2, dtype=torch.float64)
        if process.low_rank_jacobian(state, time) is not None:
            return LowRankForm(process)
        if process.noise(time).ndim > 2 or process.clock(time) is not None:
            return None
        jacobian = process.jacobian(state, time)
    return SharedForm(process) if jacobian.stride(0) == 0 and not jacobian.requires_grad else None


class ComponentwiseForm(Form):
    """Each component moves by itself: so many equations of one component.

    Arguments:
        process: The process.

    Raises:
        ValueError: If its components do not move by themselves.
    """

    def __init__(self, process: Process) -> None:
        super().__init__(process)
        generator = torch.Generator().manual_seed(SEED)
        state = process.sample_initial(SAMPLES, generator).double()
        direction = torch.randn(state.shape, generator=generator, dtype=torch.float64)
        time = torch.full((SAMPLES,), TIMES[1], dtype=torch.float64)
        together, apart = (self._slope(state, time, each) for each in (direction, torch.ones_like(state)))
        off = (together - apart * direction).abs().amax()
        if off > TOLERANCE * (1 + together.abs().amax()) or not all(_each_by_itself(process, t) for t in TIMES):
            raise ValueError(
                f"{type(process).__name__} says that it is `componentwise`, but a component's drift depends on others "
                "or its noise is shared."
            )

    def transition(self, expansion: Expansion) -> LocalTransition:
        """Return the transition; see ``Form.transition``."""
        state, time, duration = expansion.state, expansion.time, expansion.duration
        slope = self._slope(state, time, torch.ones_like(state))
        variance, variance_rate = _strength(self.process, state, time).square(), None
        if not expansion.frozen_noise:
            later = _strength(self.process, state, time + duration).square()
            variance_rate = ((later - variance) / duration.unsqueeze(-1)).expand_as(state).reshape(1, 1, -1)
        flow = linear_flow(
            slope.reshape(1, 1, -1),
            expansion.force.reshape(1, -1),
            variance.expand_as(state).reshape(1, 1, -1),
            duration.unsqueeze(-1).expand_as(state).reshape(-1),
            None if expansion.force_rate is None else expansion.force_rate.reshape(1, -1),
            variance_rate,
        )
        mean = state + flow.displacement.view_as(state)
        return ComponentwiseTransition.of_variance(mean.T, flow.covariance.view_as(state).T)

    def _slope(self, state: Tensor, time: Tensor, direction: Tensor) -> Tensor:
        slope: Tensor = torch.func.jvp(lambda x: self.process.drift(x, time), (state,), (direction,))[1]
        return slope.to(state.dtype)


class LowRankForm(Form):
    """The Jacobian is a multiple of the identity but for a few directions, the noise alike in all.

    Arguments:
        process: The process.

    Raises:
        ValueError: If its noise differs between directions.
    """

    def __init__(self, process: Process) -> None:
        super().__init__(process)
        for time in TIMES:
            state = torch.zeros(1, process.dimension, dtype=torch.float64)
            strength = _strength(process, state, torch.tensor([time], dtype=torch.float64)).abs()
            if not _each_by_itself(process, time) or not bool(torch.isclose(strength, strength[0, 0]).all()):
                raise ValueError(
                    f"{type(process).__name__} gives a `low_rank_jacobian`, which needs noise alike in all directions."
                )

    def transition(self, expansion: Expansion) -> LocalTransition | None:
        """Return the transition; see ``Form.transition``."""
        state, time, duration = expansion.state, expansion.time, expansion.duration
        jacobian = self.process.low_rank_jacobian(state, time)
        if jacobian is None:
            return None
        variance = _strength(self.process, state, time)[..., :1].square()
        variance_rate = None
        if not expansion.frozen_noise:
            later = _strength(self.process, state, time + duration)[..., :1].square()
            variance_rate = (later - variance) / duration.unsqueeze(-1)
        rates = jacobian.spectrum

        def solved(force: float, force_rate: float | None) -> LinearFlow:
            one = rates.new_ones(1, 1)
            return linear_flow(
                rates.reshape(1, 1, -1),
                force * one,
                variance.expand_as(rates).reshape(1, 1, -1),
                duration.unsqueeze(-1).expand_as(rates).reshape(-1),
                None if force_rate is None else force_rate * one,
                None if variance_rate is None else variance_rate.expand_as(rates).reshape(1, 1, -1),
            )

        held = solved(1.0, None)
        mean = state + jacobian.with_spectrum(held.displacement.view_as(rates)).apply(expansion.force)
        if expansion.force_rate is not None:
            growing = jacobian.with_spectrum(solved(0.0, 1.0).displacement.view_as(rates))
            mean = mean + growing.apply(expansion.force_rate)
        return LowRankTransition(mean.T, jacobian.with_spectrum(held.covariance.view_as(rates)))


class SharedForm(Form):
    """Jacobian and noise are the same for all states and times.

    Arguments:
        process: The process.
    """

    def __init__(self, process: Process) -> None:
        super().__init__(process)
        self._transitions: SharedTransitions | None = None
        self._response: tuple[tuple[Tensor, ...], LinearResponse] | None = None

    def response(self, jacobian: Tensor, diffusion: Tensor, duration: Tensor) -> LinearResponse:
        """Return what is known of the flow over one duration, kept as it is often asked for again."""
        equation = (jacobian, diffusion, duration)
        if torch._C._functorch.peek_interpreter_stack() is not None:
            return linear_response(*equation)
        if self._response is None or not all(map(_same, self._response[0], equation)):
            self._response = (equation, linear_response(*equation))
        return self._response[1]

    def transition(self, expansion: Expansion) -> LocalTransition | None:
        """Return the transition; see ``Form.transition``."""
        state, lag = expansion.state, expansion.duration
        # Inside another transform lags cannot be sorted by their size.
        if torch._C._functorch.peek_interpreter_stack() is not None or not bool((lag > 0).all()):
            return None
        one = state[:1].detach().double()
        jacobian = self.process.jacobian(one, expansion.time[:1].double())[0]
        noise = self.process.noise_for(one, expansion.time[:1])
        known = self._transitions
        if known is None or not (torch.equal(known.jacobian, jacobian) and torch.equal(known.noise, noise)):
            known = self._transitions = SharedTransitions(jacobian, noise)
        return known(state, expansion.force, expansion.force_rate, lag)


def _same(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and one.device == other.device and torch.equal(one, other)


def _strength(process: Process, state: Tensor, time: Tensor) -> Tensor:
    """Return what noise does to each component by itself, shape ``(batch, d)`` or ``(1, d)``, 1 / sqrt(time)."""
    normals = state.new_ones(len(time), process.noises)
    return process.diffuse(normals, time, state)


def _each_by_itself(process: Process, time: float) -> bool:
    """Return whether no two components feel the same noise, and no component two noises."""
    acting = process.noise(torch.tensor(time, dtype=torch.float64)) != 0
    return bool((acting.sum(0) <= 1).all() and (acting.sum(1) <= 1).all())
