r"""A process seen through a smooth invertible map, and its reversal by the score learned before the map.

With :math:`dX = f\,dt + G\,dW`, :math:`A = G G^T`, :math:`Y = \phi(X)`, the lemma of Ito gives

.. math:: dY = \left[J f + \tfrac12 H{:}A\right] dt + J G\,dW, \qquad (H{:}A)_k = \mathrm{tr}(G^T H^k G),

and the reverse-time lemma, with the score :math:`s = \nabla_x \log p_t` and the reversed time :math:`\tau = T - t`,

.. math:: dY = \left[J (-f + \operatorname{div} A + A s) + \tfrac12 H{:}A\right] d\tau + J G\,d\bar W .

The probability flow is a vector field and has no such term, :math:`\dot Y = J (f - \tfrac12 \operatorname{div} A -
\tfrac12 A s)`. Neither determinant nor inverse Jacobian nor the divergence of the noise of :math:`Y` is needed.

Source: Ito's lemma; Anderson, Reverse-time diffusion equation models (1982); Robbins, Score Change of Variables (2024),
the reverse-time Ito lemma, here for a noise matrix that may depend on the state, derived.
"""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from physcore.known_moment import KnownMoment
from physcore.process import Process, Variable
from physcore.transform import derivatives
from physcore.transform.bijections.bijection import Bijection
from physcore.transform.score_transformation import transform_score

__all__ = ["Score", "TransformedProcess"]

Score = Callable[[Tensor, Tensor], Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransformedProcess(Process):
    r"""The process :math:`Y_t = \phi(X_t)`, whose noise depends on the state.

    At states outside the image of the map drift and noise are NaN. Where a score is asked for, it is that of the
    original process: called as ``score(x, time)``, such as a ``ScoreModel``.

    Arguments:
        process: The original process :math:`X_t`.
        bijection: The map :math:`\phi`.
        variables: Names and units of the components of :math:`Y`; ``y0``, ``y1``, ... without units when empty.

    Raises:
        ValueError: If the dimensions of process, map and variables differ.
    """

    process: Process
    bijection: Bijection
    variables: tuple[Variable, ...] = ()

    noise_type: ClassVar[str] = "general"

    def __post_init__(self) -> None:
        d, wanted = self.process.dimension, self.bijection.dimension
        if wanted not in (None, d):
            raise ValueError(f"`bijection` has {wanted} components, the process has {d}.")
        named = tuple(self.variables) or tuple(Variable(f"y{i}") for i in range(d))
        if len(named) != d:
            raise ValueError(f"`variables` must name {d} components; got {len(named)}.")
        object.__setattr__(self, "variables", named)
        object.__setattr__(self, "time_units", self.process.time_units)

    @property
    def noises(self) -> int:
        """Number of independent noises, those of the original process."""
        return self.process.noises

    @property
    def known_moments(self) -> tuple[KnownMoment, ...]:
        """The moments of the original process, of states carried back; see ``Process.known_moments``."""
        return tuple(self._carried(moment) for moment in self.process.known_moments)

    def origin(self, state: Tensor) -> Tensor:
        r"""Return :math:`x = \phi^{-1}(y)`.

        Arguments:
            state: States :math:`y`, shape ``(..., component)``.

        Returns:
            Shape of ``state``, NaN for states outside the image.
        """
        self.bijection.check_dimension(state)
        inside = self.bijection.image.contains(state).unsqueeze(-1)
        return self.bijection.inverse(torch.where(inside, state, torch.nan))

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        r"""Return the drift :math:`J f + \tfrac12 H{:}A` of Ito, shape of ``state``; see ``Process.drift``."""
        origin = self.origin(state)
        return self.bijection.push(origin, self.process.drift(origin, time)) + 0.5 * self._bending(origin, time)

    def noise(self, time: Tensor) -> Tensor:
        """Refuse, since the noise depends on the state.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            "TransformedProcess has noise that depends on the state, and this needs additive noise. Use the original "
            "process, and carry states and scores through the map; or ask `noise_for` at a state."
        )

    def noise_for(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the noise matrix :math:`J G`, shape ``(..., component, noise)``; see ``Process.noise_for``."""
        origin = self.origin(state)
        noise = self.process.noise_for(origin, time)
        return self.bijection.push(origin.unsqueeze(-2), noise.mT).mT

    def diffuse(self, normals: Tensor, time: Tensor, state: Tensor | None = None) -> Tensor:
        r"""Return :math:`J G \xi`, shape of ``state``; see ``Process.diffuse``."""
        if state is None:
            return self.noise(time)
        origin = self.origin(state)
        return self.bijection.push(origin, self.process.diffuse(normals, time, origin))

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw initial states, shape ``(paths, component)``; see ``Process.sample_initial``."""
        return self.bijection.forward(self.process.sample_initial(paths, generator))

    def initial_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the initial law, shape ``(...)``; see ``Process.initial_log_density``."""
        origin = self.bijection.inverse(state)
        return self.process.initial_log_density(origin) - self.bijection.log_determinant(origin)

    def stationary_score(self, state: Tensor) -> Tensor:
        """Return the score of the stationary law, shape of ``state``; see ``Process.stationary_score``."""
        origin = self.bijection.inverse(state)
        return transform_score(self.bijection, origin, self.process.stationary_score(origin))

    def clock(self, time: Tensor) -> Tensor | None:
        """Return the clock of the original process, which the lemma of Ito keeps; see ``Process.clock``."""
        return self.process.clock(time)

    def score(self, state: Tensor, time: Tensor, score: Score) -> Tensor:
        r"""Return the score :math:`\nabla_y \log q_t`.

        Arguments:
            state: States :math:`y`, shape ``(..., component)``, in the image.
            time: Times, shape ``(...)``.
            score: Score of the original process.

        Returns:
            Shape of ``state``, units 1 / [y].

        Raises:
            ValueError: If a state lies outside the image or the score is not finite.
        """
        origin = self.bijection.inverse(state)
        return transform_score(self.bijection, origin, score(origin, time))

    def reverse_drift(self, state: Tensor, time: Tensor, score: Score) -> Tensor:
        r"""Return the drift of the reversed process, per reversed time: a step back from t to t - h adds h times it.

        .. math:: J (-f + \operatorname{div} A + A s) + \tfrac12 H{:}A

        The noise of the reversed process is that of the forward one.

        Arguments:
            state: States :math:`y`, shape ``(..., component)``.
            time: Times :math:`t`, shape ``(...)``.
            score: Score of the original process.

        Returns:
            Shape of ``state``, units of y per time.

        Source:
            Robbins, Score Change of Variables (2024), the reverse-time Ito lemma; for any noise matrix derived.
        """
        origin = self.origin(state)
        back = self._driving(origin, time, score, 1.0) - self.process.drift(origin, time)
        return self.bijection.push(origin, back) + 0.5 * self._bending(origin, time)

    def probability_flow(self, state: Tensor, time: Tensor, score: Score) -> Tensor:
        r"""Return the velocity of the probability flow, forward in time.

        .. math:: J (f - \tfrac12 \operatorname{div} A - \tfrac12 A s)

        Arguments:
            state: States :math:`y`, shape ``(..., component)``.
            time: Times, shape ``(...)``.
            score: Score of the original process.

        Returns:
            Shape of ``state``, units of y per time.

        Source:
            Song et al., Score-based generative modeling through stochastic differential equations (2021), appendix
            D.1, carried by the map as a vector field.
        """
        origin = self.origin(state)
        velocity = self.process.drift(origin, time) - self._driving(origin, time, score, 0.5)
        return self.bijection.push(origin, velocity)

    def _carried(self, moment: KnownMoment) -> KnownMoment:
        return KnownMoment(moment.name, lambda y: moment.observable(self.origin(y)), moment.expectation)

    def _bending(self, origin: Tensor, time: Tensor) -> Tensor:
        return self.bijection.hessian_contraction(origin, self.process.noise_for(origin, time))

    def _driving(self, origin: Tensor, time: Tensor, score: Score, weight: float) -> Tensor:
        r"""Return :math:`\operatorname{div} A + A s`, times a weight."""
        noise = self.process.noise_for(origin, time)
        driving = _spread(noise, score(origin, time))
        if self.process.noise_type != "additive":
            driving = driving + self._divergence(origin, time)
        return weight * driving

    def _divergence(self, origin: Tensor, time: Tensor) -> Tensor:
        r"""Return :math:`\sum_j \partial_j A_{ij}`, shape of the states."""
        total = torch.zeros_like(origin)
        for axis in torch.eye(self.dimension, dtype=origin.dtype, device=origin.device):

            def column(x: Tensor, axis: Tensor = axis) -> Tensor:
                return _spread(self.process.noise_for(x, time), axis)

            total = total + derivatives.push(column, origin, axis)
        return total


def _spread(noise: Tensor, vector: Tensor) -> Tensor:
    """Return G G^T times a vector, shape ``(..., component)``."""
    along = (noise.mT @ vector.unsqueeze(-1)).squeeze(-1)
    return (noise @ along.unsqueeze(-1)).squeeze(-1)
