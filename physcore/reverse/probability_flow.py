r"""The probability flow: a motion without noise that carries the same laws, and the density along it.

.. math:: \frac{dx}{dt} = v(x, t) = f(x, t) - \tfrac12 Q\,s(x, t), \qquad
          \frac{d}{dt} \log q_t(x_t) = -\nabla \cdot v(x_t, t), \qquad Q = G G^T

Its velocity is the mean local velocity of the probability current. From a law that is known at one time follows the
density at any other: the state is carried there, and what the flow was compressed on the way is added.

Source: Song et al., Score-based generative modeling through stochastic differential equations (2021), section 4.3 and
appendix D; Chen, Rubanova, Bettencourt and Duvenaud, Neural ordinary differential equations (2018), for the density;
Hutchinson, A stochastic estimator of the trace of the influence matrix (1990), for the estimate of the divergence.
"""

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor

from physcore.diffusivity import Diffusivity
from physcore.errors import NumericalError
from physcore.initial_value_problem import solved
from physcore.process import Process
from physcore.reverse.reversed_process import check_score
from physcore.score.score_function import ScoreFunction
from physcore.streams import Streams

__all__ = ["ProbabilityFlow"]

STATES = 4096  # carried together by one sequence of steps


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ProbabilityFlow:
    r"""The probability flow of a process, by its score.

    Arguments:
        process: The process.
        score: Anything with ``score(state, time)`` that holds the driven components.
        known_time: A time at which the law is known.
        known_log_density: Log density there, from states ``(..., component)`` to ``(...)``; the ``initial_log_density``
            of the process when None.
        tolerance: Relative tolerance of the integration; the absolute one is a hundredth of it.
        probes: Random vectors that estimate the divergence in many dimensions, each at the cost of one derivative; when
            None it is exact, at that of one for each component.
        seed: Seed of the probes.

    Raises:
        TypeError: If ``score`` is no score.
        ValueError: If a setting is out of range or a learned score lacks driven components.

    Error:
        That of the score: the density is off by the integral of the divergence of :math:`Q \delta / 2` along the flow.
        With probes it is noisy, and unbiased up to the tolerance.

    Source:
        Song et al., Score-based generative modeling through stochastic differential equations (2021); steps by Dormand
        and Prince's method of order 8 in scipy.
    """

    process: Process
    score: ScoreFunction
    known_time: float = 0.0
    known_log_density: Callable[[Tensor], Tensor] | None = None
    tolerance: float = 1e-6
    probes: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not math.isfinite(self.known_time):
            raise ValueError(f"`known_time` must be finite; got {self.known_time}.")
        if not 1e-12 <= self.tolerance < 1:
            raise ValueError(f"`tolerance` must be at least 1e-12 and below 1; got {self.tolerance}.")
        if self.probes is not None and self.probes < 1:
            raise ValueError(f"`probes` must be at least 1; got {self.probes}. None gives the exact divergence.")
        check_score(self.process, self.score)

    def velocity(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the velocity of the flow.

        Arguments:
            state: States, shape ``(..., component)``.
            time: One time, shape ``()``.

        Returns:
            Shape of ``state``, units of the state per time.
        """
        score = self.score.score(state, time).to(state)
        if state.requires_grad and not score.requires_grad:
            raise ValueError(
                f"a density along the flow needs a score with derivatives; {type(self.score).__name__} gives none."
            )
        return self.process.drift(state, time) - Diffusivity.of(self.process, time).apply(score)

    def transport(self, state: Tensor, start: float, end: float) -> Tensor:
        """Carry states along the flow, in either direction of time.

        Arguments:
            state: States at the start, shape ``(..., component)``.
            start: Their time.
            end: The time to carry them to.

        Returns:
            States at the end, shape and dtype of ``state``.

        Raises:
            ValueError: If a learned score was not trained at one of the times.
            NumericalError: If a state or the integration leaves the finite numbers.
        """
        moved, _ = self._carried(state, start, end, compressed=False)
        return moved

    def log_density(self, state: Tensor, time: Tensor | float) -> Tensor:
        """Return the log density of the law at a time.

        Arguments:
            state: States, shape ``(..., component)``.
            time: One time, shape ``()``.

        Returns:
            Shape ``(...)``, dtype of ``state``.

        Raises:
            ValueError: If a learned score was not trained at one of the times, or the score has no derivatives.
            NumericalError: If a state or the integration leaves the finite numbers.
        """
        origin, growth = self._carried(state.double(), float(time), self.known_time, compressed=True)
        known = self.known_log_density or self.process.initial_log_density
        return (known(origin) + growth).to(state.dtype)

    def _carried(self, state: Tensor, start: float, end: float, *, compressed: bool) -> tuple[Tensor, Tensor]:
        """Return states at the end and the integral of the divergence on the way there."""
        if state.shape[-1:] != (self.process.dimension,):
            raise ValueError(f"`state` must end in {self.process.dimension} components; got {tuple(state.shape)}.")
        check_score(self.process, self.score, start, end)
        points = state.detach().reshape(-1, self.process.dimension).to(dtype=torch.float64, device="cpu")
        if not torch.isfinite(points).all():
            raise NumericalError(f"{int((~torch.isfinite(points)).sum())} numbers of `state` are not finite.")
        moved, growth = points.clone(), torch.zeros(len(points), dtype=torch.float64)
        if start != end:
            for first in range(0, len(points), STATES):
                part = slice(first, first + STATES)
                moved[part], growth[part] = self._solved(points[part], start, end, first, compressed)
        return moved.reshape(state.shape).to(state), growth.reshape(state.shape[:-1]).to(state.device)

    def _solved(self, points: Tensor, start: float, end: float, first: int, compressed: bool) -> tuple[Tensor, Tensor]:
        probes = self._probes(points, first) if compressed else None

        def rate(time: Tensor, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            if compressed:
                return self._compression(tensors[0], time, probes)
            with torch.no_grad():
                return (self.velocity(tensors[0], time),)

        growth = torch.zeros(len(points), dtype=torch.float64)
        carried = (points, growth) if compressed else (points,)
        found = solved(rate, carried, (start, end), self.tolerance, "the probability flow")
        return found[0][0], found[1][0] if compressed else growth

    def _probes(self, points: Tensor, first: int) -> Tensor | None:
        """Return signs for the estimate of the divergence, shape ``(probe, path, component)``; None if exact."""
        if self.probes is None:
            return None
        generator = Streams(self.seed, "divergence").generator(first)
        shape = (self.probes, *points.shape)
        return 2.0 * torch.randint(2, shape, generator=generator).double() - 1

    def _compression(self, states: Tensor, time: Tensor, probes: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return velocity and divergence of the flow."""
        with torch.enable_grad():
            watched = states.detach().requires_grad_()
            velocity = self.velocity(watched, time)
            if probes is None:
                columns = velocity.unbind(-1)
                terms = [_gradient(column.sum(), watched)[:, i] for i, column in enumerate(columns)]
                divergence = torch.stack(terms).sum(0)
            else:
                terms = [(probe * _gradient((probe * velocity).sum(), watched)).sum(-1) for probe in probes]
                divergence = torch.stack(terms).mean(0)
        return velocity.detach(), divergence


def _gradient(value: Tensor, point: Tensor) -> Tensor:
    return torch.autograd.grad(value, point, retain_graph=True)[0]
