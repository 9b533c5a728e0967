r"""The flow of a linear stochastic equation over a finite time.

.. math:: dX = (J X + a + b \tau)\,d\tau + G(\tau)\,dW, \qquad X(0) = 0, \qquad 0 \le \tau \le h

Its law at :math:`h` is Gaussian with displacement :math:`c` and covariance :math:`S`, and perturbations of the start
grow by :math:`F = e^{J h}`. With the phi-functions :math:`\varphi_1(Z) = (e^Z - 1) / Z` and
:math:`\varphi_2(Z) = (e^Z - 1 - Z) / Z^2`,

.. math:: c = h \varphi_1(h J) a + h^2 \varphi_2(h J) b, \qquad
          S = \int_0^h e^{J (h - u)} Q(u) e^{J^T (h - u)}\,du, \quad Q = G G^T .

A Taylor series answers for the short time :math:`h / 2^k`; doubling carries it to :math:`h`:
:math:`S \leftarrow F S F^T + S`, :math:`c \leftarrow F c + c`, :math:`F \leftarrow F F`. Only entire functions appear,
so singular, zero and resonant Jacobians need no special case, and stiff ones lose no digits, as they do in Van Loan's
block exponential. Where one equation runs for many durations, as in a linear process, it is solved at a few and
interpolated.

Source: Van Loan, Computing integrals involving the matrix exponential (1978), for the integrals; the doubling with
sources linear in time is derived.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from physcore.errors import NumericalError
from physcore.fused_flow import NOT_FINITE, fused_flow
from physcore.octaves import interpolated, octaves, points_for_exponential
from physcore.small_matrices import UNROLLED, multiply

__all__ = ["LinearFlow", "LinearResponse", "linear_flow", "linear_response"]

LARGEST_NORM = 0.25
TERMS = {torch.float32: 9, torch.float64: 15}
# Entries of the matrices that a CPU treats at a time: more would not stay in its cache.
CACHED = 2**17
# Components from which on one equation is worth interpolating in the duration.
SMALLEST = 8


@dataclasses.dataclass(frozen=True)
class LinearFlow:
    r"""Law and propagator of a linear equation over a time, held component first.

    Arguments:
        propagator: :math:`F = e^{J h}`, shape ``(d, d, batch)``.
        displacement: Mean :math:`c`, shape ``(d, batch)``.
        covariance: Covariance :math:`S`, shape ``(d, d, batch)``.
    """

    propagator: Tensor
    displacement: Tensor
    covariance: Tensor


@dataclasses.dataclass(frozen=True)
class LinearResponse:
    r"""Law and responses of one linear equation after some times, held component first, float64.

    Arguments:
        propagator: :math:`F`, shape ``(d, d, time)``.
        held: What takes a constant force to the displacement, :math:`h \varphi_1(h J)`, shape ``(d, d, time)``.
        covariance: :math:`S`, shape ``(d, d, time)``.
        growing: What takes the rate of a growing force to the displacement, :math:`h^2 \varphi_2(h J)`, likewise.
    """

    propagator: Tensor
    held: Tensor
    covariance: Tensor
    growing: Tensor

    def flow(self, force: Tensor, force_rate: Tensor | None) -> LinearFlow:
        """Return the flow of many forces, shape ``(d, batch)``, and their rates, after the one time that is known."""
        propagator, held, covariance, growing = (each.to(force.dtype) for each in vars(self).values())
        displacement = held.squeeze(-1) @ force
        if force_rate is not None:
            displacement = displacement + growing.squeeze(-1) @ force_rate
        return LinearFlow(propagator, displacement, covariance)


@dataclasses.dataclass
class _Response:
    """What a source ``a + b (tau_0 + tau)`` builds up over a time: ``fixed + tau_0 * drifting``."""

    fixed: Tensor
    drifting: Tensor | None

    def doubled(self, propagate: Callable[[Tensor], Tensor], time: Tensor) -> "_Response":
        """Return the response over twice the time."""
        if self.drifting is None:
            return _Response(propagate(self.fixed) + self.fixed, None)
        later = self.fixed + time * self.drifting
        return _Response(propagate(self.fixed) + later, propagate(self.drifting) + self.drifting)


def _short_response(
    source: Tensor, rate: Tensor | None, act: Callable[[Tensor], Tensor], time: Tensor, terms: int
) -> _Response:
    """Sum the Taylor series of a response over a short time; ``act`` is the generator times that time."""
    term = source * time
    fixed = term
    for n in range(1, terms):
        term = act(term) / (n + 1)
        fixed = fixed + term
    if rate is None:
        return _Response(fixed, None)
    term = rate * time
    drifting = term
    fixed = fixed + term * time / 2
    for n in range(1, terms):
        term = act(term) / (n + 1)
        drifting = drifting + term
        fixed = fixed + term * time / (n + 2)
    return _Response(fixed, drifting)


def _part(operands: tuple[Tensor | None, ...], rows: slice) -> Any:
    return tuple(x if x is None or x.shape[-1] == 1 else x[..., rows] for x in operands)


def _joined(flows: list[LinearFlow]) -> LinearFlow:
    return LinearFlow(*(torch.cat(parts, -1) for parts in zip(*(vars(flow).values() for flow in flows), strict=True)))


def linear_flow(
    jacobian: Tensor,
    force: Tensor,
    diffusion: Tensor,
    duration: Tensor,
    force_rate: Tensor | None = None,
    diffusion_rate: Tensor | None = None,
) -> LinearFlow:
    r"""Return the law of a linear stochastic equation after a time, for a batch of equations.

    Arguments:
        jacobian: :math:`J`, shape ``(d, d, batch)``, units 1 / time; a batch of 1 is broadcast, here and below.
        force: Constant part :math:`a` of the drift, shape ``(d, batch)``.
        diffusion: Constant part of :math:`Q = G G^T`, shape ``(d, d, batch)``.
        duration: Times :math:`h \ge 0`, shape ``(batch,)``.
        force_rate: Growth :math:`b` of the drift with time, shape ``(d, batch)``; none when omitted.
        diffusion_rate: Growth of :math:`Q` with time, shape ``(d, d, batch)``; none when omitted.

    Returns:
        Propagator, displacement and covariance; where nothing is differentiated, of many equations with few components
        on a CPU with a C compiler, from a compiled kernel, the same to rounding.

    Raises:
        NumericalError: If the Jacobian is not finite.

    Error:
        A few units in the last place of each block, relative to its own largest entry.
    """
    several = jacobian.shape[-1] > 1 or diffusion.shape[-1] > 1 or len(jacobian) < SMALLEST
    fused = fused_flow(jacobian, force, diffusion, duration, force_rate, diffusion_rate) if several else None
    if fused is not None:
        return LinearFlow(*fused)
    norm = _norm(jacobian, duration)
    if not math.isfinite(norm):
        raise NumericalError(NOT_FINITE)
    batch, size = len(duration), max(1, CACHED // len(jacobian) ** 2)
    if diffusion_rate is None:
        if jacobian.shape[-1] == diffusion.shape[-1] == batch == 1 and force.shape[-1] > len(jacobian) > UNROLLED:
            # Where forces alone differ one matrix takes them all to their displacements.
            return linear_response(jacobian, diffusion, duration).flow(force, force_rate)
        points = _points(jacobian, diffusion, duration, norm)
        if points:
            return _of_one_equation(jacobian, force, diffusion, duration, force_rate, points)
    if jacobian.device.type == "cpu" and batch > size:
        operands = (jacobian, force, diffusion, duration, force_rate, diffusion_rate)
        return _joined([_by_doubling(norm, *_part(operands, slice(i, i + size))) for i in range(0, batch, size)])
    return _by_doubling(norm, jacobian, force, diffusion, duration, force_rate, diffusion_rate)


def linear_response(jacobian: Tensor, diffusion: Tensor, duration: Tensor) -> LinearResponse:
    """Return the law of one linear equation after some times, and what any force does to its mean.

    Arguments:
        jacobian: :math:`J`, shape ``(d, d, 1)``, units 1 / time.
        diffusion: :math:`Q`, shape ``(d, d, 1)``.
        duration: Times, shape ``(time,)``.

    Returns:
        The responses in float64.
    """
    equation, noise, times = jacobian.double(), diffusion.double(), duration.double()
    norm = _norm(equation, times)
    identity = torch.eye(len(equation), dtype=torch.float64, device=equation.device).unsqueeze(-1)
    flow = _by_doubling(norm, equation, identity, noise, times)
    growing = _by_doubling(norm, equation, torch.zeros_like(identity), noise, times, identity)
    return LinearResponse(flow.propagator, flow.displacement, flow.covariance, growing.displacement)


def _norm(jacobian: Tensor, duration: Tensor) -> float:
    if not (jacobian.numel() and duration.numel()):
        return 0.0
    return float((jacobian.detach().abs().sum(0).amax(0) * duration.detach()).amax())


def _points(jacobian: Tensor, diffusion: Tensor, duration: Tensor, norm: float) -> int:
    """Return the points in an octave with which one equation for all is known at all durations, 0 if not worth it."""
    shared = jacobian.shape[-1] == diffusion.shape[-1] == 1 and not duration.requires_grad
    if not shared or jacobian.requires_grad or diffusion.requires_grad or len(jacobian) < SMALLEST:
        return 0
    if not len(duration) or not bool((duration > 0).all()):
        return 0
    # The covariance grows twice as fast as the propagator.
    points = points_for_exponential(2 * norm, torch.finfo(torch.float64).eps)
    return points if points and points * octaves(duration) <= len(duration) // 4 else 0


def _of_one_equation(
    jacobian: Tensor, force: Tensor, diffusion: Tensor, duration: Tensor, force_rate: Tensor | None, points: int
) -> LinearFlow:
    """Return what ``linear_flow`` does where Jacobian and diffusion are the same for all, interpolated in duration."""

    def responses(times: Tensor) -> tuple[Tensor, ...]:
        response = linear_response(jacobian, diffusion, times)
        known = (response.propagator, response.covariance, response.held, response.growing)
        return known if force_rate is not None else known[:-1]

    propagator, covariance, held, *growing = interpolated(responses, duration, points)
    displacement = multiply(held, force)
    if force_rate is not None:
        displacement = displacement + multiply(growing[0], force_rate)
    return LinearFlow(propagator, displacement, covariance)


def _by_doubling(
    norm: float,
    jacobian: Tensor,
    force: Tensor,
    diffusion: Tensor,
    duration: Tensor,
    force_rate: Tensor | None = None,
    diffusion_rate: Tensor | None = None,
) -> LinearFlow:
    """Return what ``linear_flow`` does, equation by equation; a force may have several columns."""
    doublings = max(0, math.ceil(math.log2(norm / LARGEST_NORM))) if norm > 0 else 0
    terms = TERMS[jacobian.dtype]
    time = duration * math.ldexp(1.0, -doublings)
    generator = jacobian * time

    def act_on_matrix(matrix: Tensor) -> Tensor:
        product = multiply(generator, matrix)
        return product + product.transpose(0, 1)

    identity = torch.eye(jacobian.shape[0], dtype=jacobian.dtype, device=jacobian.device).unsqueeze(-1)
    power = generator
    propagator = identity + generator
    for n in range(2, terms + 1):
        power = multiply(generator, power) / n
        propagator = propagator + power
    displacement = _short_response(force, force_rate, lambda v: multiply(generator, v), time, terms)
    covariance = _short_response(diffusion, diffusion_rate, act_on_matrix, time, terms)
    for _ in range(doublings):
        over_time = propagator

        def carry(vector: Tensor, over_time: Tensor = over_time) -> Tensor:
            return multiply(over_time, vector)

        def carry_both_sides(matrix: Tensor, over_time: Tensor = over_time) -> Tensor:
            return multiply(multiply(over_time, matrix), over_time.transpose(0, 1))

        displacement = displacement.doubled(carry, time)
        covariance = covariance.doubled(carry_both_sides, time)
        propagator = multiply(over_time, over_time)
        time = 2 * time
    return LinearFlow(propagator, displacement.fixed, covariance.fixed)
