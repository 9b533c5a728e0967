r"""The direct parametrisation: a network of the whitened state.

.. math:: s_\theta(y, t) = L^{-T} n_\theta(z, t), \qquad z = L^{-1} (y - m)

:math:`m` is the mean and :math:`L` the diagonal of standard deviations, or the Cholesky factor of the covariance, of
the states of all times together. The frame is constant; with a network that is a gradient the score has no curl.

Source: derived.
"""

import dataclasses
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from physcore.process import Process
from physcore.registry import plain
from physcore.score.components import Selection
from physcore.score.lags import LagSchedule, Pilot
from physcore.score.model import Prepared, ScoreModel
from physcore.score.networks import Architecture
from physcore.score.parametrizations.frames import DiagonalFrame, TriangularFrame, ordered_factor, whiten
from physcore.score.parametrizations.marginals import moments
from physcore.score.parametrizations.parametrization import Parametrization

__all__ = ["Direct", "DirectScore"]

Whitening = Literal["diagonal", "full"]


class DirectScore(ScoreModel):
    """A score in a constant frame.

    Arguments:
        process: The process.
        time_range: First and last time of training.
        center: Mean of the states, one for each component.
        scale: Standard deviation of the states.
        covariance: Their covariance, which takes the place of the scale; None to whiten each component by itself.
        network: The network, shown the whitened state.
        components: Which components are learned.

    Raises:
        ValueError: If a scale has the wrong length.
        NumericalError: If the covariance is not positive definite.
    """

    center: Tensor
    scale: Tensor
    factor: Tensor | None

    def __init__(
        self,
        process: Process,
        time_range: tuple[float, float],
        *,
        center: list[float],
        scale: list[float],
        covariance: list[list[float]] | None = None,
        network: Architecture,
        components: Selection = "all",
    ) -> None:
        super().__init__(process, time_range, components=components)
        self.hold(center=center, scale=scale)
        self.covariance, factor = covariance, None
        if covariance is not None:
            factor = ordered_factor(torch.tensor(covariance, dtype=torch.float64).unsqueeze(-1), self.learned).float()
        self.register_buffer("factor", factor, persistent=False)
        self.architecture = network
        self.network = network.build(self.layout(channels=1))

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this model; see ``ScoreModel.options``."""
        return {
            "center": self.center.tolist(),
            "scale": self.scale.tolist(),
            "covariance": self.covariance,
            "network": plain(self.architecture),
            "components": self.learned.selection,
        }

    def prepare(self, state: Tensor, time: Tensor) -> Prepared:
        """Return the whitened states and the constant frame; see ``ScoreModel.prepare``."""
        displacement, clock = state - self.center, self.clock(time)
        if self.factor is None:
            white = displacement / self.scale
            return Prepared(white.unsqueeze(-1), clock, DiagonalFrame(self.scale.unsqueeze(0), self.learned))
        white = whiten(displacement, self.factor, self.learned)
        return Prepared(white.unsqueeze(-1), clock, TriangularFrame.of(self.factor, self.learned))

    def weighted(self, prepared: Prepared) -> Tensor:
        r"""Return :math:`n_\theta`; see ``ScoreModel.weighted``."""
        return self.learned.take(self.network(prepared.features, prepared.clock))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Direct(Parametrization):
    """A network of the whitened state, in units of the states of all times together.

    Whitening by all of the covariance mixes components, and with them particles: it is for few components that are
    strongly correlated.

    Arguments:
        network: The network.
        components: Which components are learned.
        whitening: Whether each component is scaled by its standard deviation, or all by their covariance.

    Raises:
        ValueError: If a setting is not one of those named.
    """

    whitening: Whitening = "diagonal"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.whitening not in get_args(Whitening):
            raise ValueError(f"`whitening` must be one of {', '.join(get_args(Whitening))}; got {self.whitening!r}.")

    def build(
        self, process: Process, pilot: Pilot, schedule: LagSchedule, time_range: tuple[float, float]
    ) -> DirectScore:
        """Return a fresh score in units of the pilot states; see ``Parametrization.build``."""
        found = moments(pilot)
        return DirectScore(
            process,
            time_range,
            center=found.mean.tolist(),
            scale=found.deviation.tolist(),
            covariance=found.covariance.tolist() if self.whitening == "full" else None,
            network=self.network,
            components=self.components,
        )
