r"""Transitions of a process whose linearisation is the same everywhere, as that of a linear process is.

Only the lag tells one transition from another. What they do to a force and to a noise are matrices that depend
smoothly on it, polynomials over a short range of lags, so a matrix for each state is never made:

.. math:: A(h) v = \sum_n T_n(x(h))\,A_n v .

Source: Trefethen, Approximation Theory and Approximation Practice (2013), chapters 3 and 8; as transitions derived.
"""

import dataclasses
import math
from typing import NamedTuple

import torch
from torch import Tensor

from physcore.errors import NumericalError
from physcore.linear_flow import LinearResponse, linear_response
from physcore.score.transitions.gaussian import LocalTransition

__all__ = ["SharedTransition", "SharedTransitions"]

RANGES = 4  # in an octave of lags
POINTS = {torch.float32: 6, torch.float64: 10}
MOST_POINTS = 40
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}


class _Operators(NamedTuple):
    """Polynomials in the lag, each of shape ``(points, d, d)``."""

    held: Tensor
    growing: Tensor
    factor: Tensor
    inverse: Tensor  # L^{-T}


class SharedTransitions:
    """Transitions over any lag, known once for each range of lags.

    Arguments:
        jacobian: :math:`J`, shape ``(d, d)``, units 1 / time.
        noise: :math:`G`, shape ``(d, noise)``.
    """

    def __init__(self, jacobian: Tensor, noise: Tensor) -> None:
        self.jacobian, self.noise = jacobian, noise
        self._operators: dict[tuple[int, torch.dtype, torch.device], _Operators] = {}

    def __call__(self, state: Tensor, force: Tensor, force_rate: Tensor | None, lag: Tensor) -> "SharedTransition":
        """Return the transitions of a batch.

        Arguments:
            state: Start states, shape ``(batch, d)``.
            force: Drift at the start, shape ``(batch, d)``.
            force_rate: What it gains with time, shape ``(batch, d)``, None where nothing.
            lag: Lags, positive, shape ``(batch,)`` or ``(1,)``.

        Raises:
            NumericalError: If noise does not reach every component within a lag.
        """
        parts = _Parts(self, lag, state.dtype)
        displacement = parts.apply("held", force.T)
        if force_rate is not None:
            displacement = displacement + parts.apply("growing", force_rate.T)
        return SharedTransition(state.T + displacement, parts)

    def operators(self, index: int, dtype: torch.dtype, device: torch.device) -> _Operators:
        """Return the polynomials over a range of lags, which reaches from ``2 ** (index / RANGES)`` to the next."""
        key = (index, dtype, device)
        if key not in self._operators:
            self._operators[key] = self._fitted(index, dtype, device)
        return self._operators[key]

    def _response(self, lag: Tensor) -> LinearResponse:
        return linear_response(self.jacobian.unsqueeze(-1), (self.noise @ self.noise.T).unsqueeze(-1), lag)

    def _known(self, lag: Tensor) -> _Operators:
        """Return the operators at some lags."""
        response = self._response(lag)
        lower, failed = torch.linalg.cholesky_ex(response.covariance.permute(2, 0, 1))
        if failed.any():
            raise NumericalError(
                f"the covariance over a lag of {float(lag[failed > 0][0]):.3g} is not positive definite: the noise "
                "does not reach every component within the lag, or the lag is too short for float64."
            )
        identity = torch.eye(lower.shape[-1], dtype=lower.dtype, device=lower.device).expand_as(lower)
        inverse = torch.linalg.solve_triangular(lower.mT, identity, upper=True)
        held, growing = (each.permute(2, 0, 1) for each in (response.held, response.growing))
        return _Operators(held, growing, lower, inverse)

    def _fitted(self, index: int, dtype: torch.dtype, device: torch.device) -> _Operators:
        first, last = (2.0 ** ((index + end) / RANGES) for end in (0, 1))
        probe = torch.tensor([0.03, 0.4, 0.93], dtype=torch.float64, device=self.jacobian.device)
        true = self._known(first + (last - first) * probe)
        points = POINTS[dtype]
        while True:
            angles = (torch.arange(points, dtype=torch.float64, device=probe.device) + 0.5) * (math.pi / points)
            known = self._known(first + (last - first) * (1 + torch.cos(angles)) / 2)
            order = torch.arange(points, dtype=torch.float64, device=probe.device)
            transform = torch.cos(order.unsqueeze(1) * angles) * 2 / points
            transform[0] /= 2
            fitted = _Operators(*(torch.einsum("np,pij->nij", transform, each) for each in known))
            error = _error(fitted, true, _polynomials(points, probe))
            if error <= TOLERANCE[dtype] or points >= MOST_POINTS:
                return _Operators(*(each.to(dtype=dtype, device=device) for each in fitted))
            points = min(MOST_POINTS, 2 * points)


def _polynomials(points: int, place: Tensor) -> Tensor:
    """Return the Chebyshev polynomials at places in [0, 1], shape ``(points, place)``."""
    order = torch.arange(points, dtype=place.dtype, device=place.device)
    return torch.cos(order.unsqueeze(1) * torch.arccos((2 * place - 1).clamp(-1, 1)))


def _error(fitted: _Operators, true: _Operators, polynomials: Tensor) -> float:
    """Return the largest error of a row, relative to its largest entry."""
    errors = []
    for polynomial, exact in zip(fitted, true, strict=True):
        off = (torch.einsum("np,nij->pij", polynomials, polynomial) - exact).abs().amax(-1)
        errors.append(float((off / exact.abs().amax(-1)).amax()))
    return max(errors)


class _Parts:
    """The samples of a batch of lags, range by range."""

    def __init__(self, transitions: SharedTransitions, lag: Tensor, dtype: torch.dtype) -> None:
        self.transitions, self.lag = transitions, lag
        length = lag.double()
        index = torch.floor(RANGES * torch.log2(length)).long()
        self.parts: list[tuple[Tensor | slice, _Operators, Tensor]] = []
        found = torch.unique(index).tolist()
        for each in found:
            operators = transitions.operators(each, dtype, lag.device)
            rows = slice(None) if len(found) == 1 else torch.nonzero(index == each).squeeze(-1)
            first, last = (2.0 ** ((each + end) / RANGES) for end in (0, 1))
            place = (length[rows] - first) / (last - first)
            self.parts.append((rows, operators, _polynomials(len(operators.held), place).to(dtype)))

    def apply(self, name: str, vector: Tensor) -> Tensor:
        """Return the products of an operator with vectors, shape ``(d, batch)`` like them."""
        result = torch.empty_like(vector)
        for rows, operators, polynomials in self.parts:
            matrices: Tensor = getattr(operators, name)
            if polynomials.shape[-1] == 1:
                result[:, rows] = torch.einsum("nij,nb->ij", matrices, polynomials) @ vector[:, rows]
                continue
            points, d, _ = matrices.shape
            products = (matrices.reshape(points * d, d) @ vector[:, rows]).reshape(points, d, -1)
            result[:, rows] = torch.einsum("ndb,nb->db", products, polynomials)
        return result

    def matrices(self, name: str) -> Tensor:
        """Return an operator itself, shape ``(d, d, batch)``."""
        made = [torch.einsum("nij,nb->ijb", getattr(operators, name), known) for _, operators, known in self.parts]
        if len(made) == 1:
            return made[0]
        result = made[0].new_empty(*made[0].shape[:2], len(self.lag))
        for (rows, *_), matrix in zip(self.parts, made, strict=True):
            result[:, :, rows] = matrix
        return result


@dataclasses.dataclass(frozen=True)
class SharedTransition(LocalTransition):
    """Transitions that differ in the lag alone; see ``LocalTransition``.

    Arguments:
        mean: Means, shape ``(d, batch)``.
        parts: The samples by their lags.
    """

    mean: Tensor
    parts: _Parts

    @property
    def factor(self) -> Tensor:
        """Lower Cholesky factors, shape ``(d, d, batch)`` or ``(d, d, 1)``."""
        return self.parts.matrices("factor")

    def state(self, noise: Tensor) -> Tensor:
        """Return points, shape ``(batch, d)``; see ``LocalTransition.state``."""
        return (self.mean + self.parts.apply("factor", noise)).T

    def score(self, noise: Tensor) -> Tensor:
        """Return scores, shape ``(batch, d)``; see ``LocalTransition.score``."""
        return -self.parts.apply("inverse", noise).T
