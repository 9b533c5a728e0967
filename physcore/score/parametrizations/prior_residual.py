r"""What the score of the prior lacks.

.. math:: s_\theta(y, t) = c(t)\,\nabla \log \pi(y) + \sigma^{-1} n_\theta(z, t), \qquad
          c(t) = \frac{t - t_0}{T - t_0}, \quad z = \frac{y - m}{\sigma}

:math:`\pi` is the stationary law of the process, to which a generative process carries the data. At the start
:math:`t_0` the network has the whole score to learn, at the end :math:`T` of training what is left of the data, nothing
once they are forgotten. :math:`m` and :math:`\sigma` are mean and standard deviation of the states of all times
together.

Source: derived.
"""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from physcore.process import Process
from physcore.registry import plain
from physcore.score.components import Selection
from physcore.score.lags import LagSchedule, Pilot
from physcore.score.model import Prepared, ScoreModel
from physcore.score.networks import Architecture
from physcore.score.parametrizations.frames import DiagonalFrame
from physcore.score.parametrizations.marginals import moments
from physcore.score.parametrizations.parametrization import Parametrization

__all__ = ["PriorResidual", "PriorResidualScore"]


class PriorResidualScore(ScoreModel):
    """A growing share of the prior's score, and what a network adds.

    Arguments:
        process: The process, which knows its ``stationary_score``.
        time_range: First and last time of training.
        start: Time of the first state, where the prior's share is zero; it is one at the last time.
        center: Mean of the states, one for each component.
        scale: Standard deviation of the states.
        network: The network, shown the standardised state.
        components: Which components are learned.

    Raises:
        ValueError: If the process does not know its stationary law or a scale has the wrong length.
    """

    center: Tensor
    scale: Tensor

    def __init__(
        self,
        process: Process,
        time_range: tuple[float, float],
        *,
        start: float,
        center: list[float],
        scale: list[float],
        network: Architecture,
        components: Selection = "all",
    ) -> None:
        super().__init__(process, time_range, components=components)
        self.hold(center=center, scale=scale)
        try:
            process.stationary_score(self.center)
        except NotImplementedError as error:
            raise ValueError(
                f"a residual to the prior needs the prior's score: {error} Use another parametrisation."
            ) from error
        self.start = start
        self.architecture = network
        self.network = network.build(self.layout(channels=1))

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this model; see ``ScoreModel.options``."""
        return {
            "start": self.start,
            "center": self.center.tolist(),
            "scale": self.scale.tolist(),
            "network": plain(self.architecture),
            "components": self.learned.selection,
        }

    def share(self, time: Tensor) -> Tensor:
        """Return the prior's share :math:`c(t)`, shape of ``time``."""
        return ((time - self.start) / (self.time_range[1] - self.start)).clamp(0, 1)

    def prepare(self, state: Tensor, time: Tensor) -> Prepared:
        """Return standardised states, the prior's part of their scores, and the frame; see ``ScoreModel.prepare``."""
        prior = self.share(time).unsqueeze(-1) * self.process.stationary_score(state)
        features = torch.stack([(state - self.center) / self.scale, self.scale * prior], -1)
        return Prepared(features, self.clock(time), DiagonalFrame(self.scale.unsqueeze(0), self.learned))

    def weighted(self, prepared: Prepared) -> Tensor:
        r"""Return :math:`c \sigma \nabla \log \pi + n_\theta`; see ``ScoreModel.weighted``."""
        # The network is not shown the prior's part: it depends on the state, and a gradient would not remain one.
        added = self.network(prepared.features[..., :1], prepared.clock)
        return self.learned.take(added + prepared.features[..., 1])


@dataclasses.dataclass(frozen=True, kw_only=True)
class PriorResidual(Parametrization):
    """A growing share of the prior's score, and a network of the rest, for processes that know their stationary law.

    Arguments:
        network: The network.
        components: Which components are learned.

    Raises:
        ValueError: If a setting is not one of those named.
    """

    def build(
        self, process: Process, pilot: Pilot, schedule: LagSchedule, time_range: tuple[float, float]
    ) -> PriorResidualScore:
        """Return a fresh score in units of the pilot states; see ``Parametrization.build``."""
        found = moments(pilot)
        return PriorResidualScore(
            process,
            time_range,
            start=float(pilot.times[0]),
            center=found.mean.tolist(),
            scale=found.deviation.tolist(),
            network=self.network,
            components=self.components,
        )
