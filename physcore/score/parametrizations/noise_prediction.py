r"""Noise prediction: the score in units of the standard deviation at its time.

.. math:: s_\theta(y, t) = -\sigma(t)^{-1} n_\theta(z, t), \qquad z = \frac{y - m(t)}{\sigma(t)}

:math:`m(t)` and :math:`\sigma(t)` are mean and standard deviation of each component of the process's own law at
:math:`t`. They depend on time alone: a scale that depended on the state where a transition started, as the kernel's own
does, would be correlated with the target, and the minimiser would not be the score. The deviation of the law and not of
the kernel, because the score of a law as wide as :math:`\sigma` is of order :math:`1 / \sigma`.

Source: Ho, Jain and Abbeel, Denoising diffusion probabilistic models (2020), where the kernel starts at the data and
both scales are the same; with the deviation of the law derived.
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
from physcore.score.parametrizations.marginals import Interpolation, moments_at_knots
from physcore.score.parametrizations.parametrization import Parametrization

__all__ = ["NoisePrediction", "NoisePredictionScore"]


class NoisePredictionScore(ScoreModel):
    """A score in units that change with time alone.

    Arguments:
        process: The process.
        time_range: First and last time of training.
        knots: Times at which the moments are given, [time].
        center: Mean of the states at each knot.
        scale: Their standard deviation.
        network: The network, shown the standardised state.
        components: Which components are learned.

    Raises:
        ValueError: If the knots do not rise or there are not as many moments.
    """

    def __init__(
        self,
        process: Process,
        time_range: tuple[float, float],
        *,
        knots: list[float],
        center: list[list[float]],
        scale: list[list[float]],
        network: Architecture,
        components: Selection = "all",
    ) -> None:
        super().__init__(process, time_range, components=components)
        times = torch.tensor(knots, dtype=torch.float64)
        self.center = Interpolation(times, torch.tensor(center))
        self.scale = Interpolation(times, torch.tensor(scale))
        self.moments = {"knots": knots, "center": center, "scale": scale}
        self.architecture = network
        self.network = network.build(self.layout(channels=1))

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this model; see ``ScoreModel.options``."""
        return {**self.moments, "network": plain(self.architecture), "components": self.learned.selection}

    def prepare(self, state: Tensor, time: Tensor) -> Prepared:
        """Return the standardised states and the frame of their time; see ``ScoreModel.prepare``."""
        scale = self.scale(time)
        white = (state - self.center(time)) / scale
        return Prepared(white.unsqueeze(-1), self.clock(time), DiagonalFrame(scale, self.learned))

    def weighted(self, prepared: Prepared) -> Tensor:
        r"""Return :math:`-n_\theta`; see ``ScoreModel.weighted``."""
        return -self.learned.take(self.network(prepared.features, prepared.clock))


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoisePrediction(Parametrization):
    """A network of the state standardised at its time, over the standard deviation at that time.

    Arguments:
        network: The network.
        components: Which components are learned.

    Raises:
        ValueError: If a setting is not one of those named.
    """

    def build(
        self, process: Process, pilot: Pilot, schedule: LagSchedule, time_range: tuple[float, float]
    ) -> NoisePredictionScore:
        """Return a fresh score with the moments of the pilot states; see ``Parametrization.build``."""
        knots, found = moments_at_knots(pilot, time_range)
        return NoisePredictionScore(
            process,
            time_range,
            knots=knots.tolist(),
            center=found.mean.tolist(),
            scale=found.deviation.tolist(),
            network=self.network,
            components=self.components,
        )
