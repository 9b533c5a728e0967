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
block exponential.

Source: Van Loan, Computing integrals involving the matrix exponential (1978), for the integrals; the doubling with
sources linear in time is derived.
"""

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor

from physcore.errors import NumericalError
from physcore.fused_flow import NOT_FINITE, fused_flow
from physcore.small_matrices import multiply

__all__ = ["LinearFlow", "linear_flow"]

LARGEST_NORM = 0.25
TERMS = {torch.float32: 9, torch.float64: 15}


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
    fused = fused_flow(jacobian, force, diffusion, duration, force_rate, diffusion_rate)
    if fused is not None:
        return LinearFlow(*fused)
    norm = (
        float((jacobian.detach().abs().sum(0).amax(0) * duration).amax())
        if jacobian.numel() and duration.numel()
        else 0.0
    )
    if not math.isfinite(norm):
        raise NumericalError(NOT_FINITE)
    doublings = max(0, math.ceil(math.log2(norm / LARGEST_NORM))) if norm > 0 else 0
    terms = TERMS[jacobian.dtype]
    time = duration / 2**doublings
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
