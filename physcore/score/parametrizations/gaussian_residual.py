r"""What the score of a Gaussian lacks.

.. math:: s_\theta(y, t) = -\Sigma(t)^{-1} (y - m(t)) + L(t)^{-T} n_\theta(z, t), \qquad
          z = L(t)^{-1} (y - m(t)), \quad L L^T = \Sigma

:math:`m(t)` and :math:`\Sigma(t)` are mean and covariance of the process's own law, measured on simulated states. In
the frame :math:`L` the Gaussian's score is :math:`-z`, so the network starts from it and learns what the law has of a
shape of its own; of a Gaussian law it only corrects the sampling error of the moments.

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
from physcore.score.parametrizations.frames import TriangularFrame, ordered_factor, whiten
from physcore.score.parametrizations.marginals import Interpolation, moments_at_knots
from physcore.score.parametrizations.parametrization import Parametrization

__all__ = ["GaussianResidual", "GaussianResidualScore"]


class GaussianResidualScore(ScoreModel):
    """The score of a Gaussian that changes with time, and what a network adds.

    Arguments:
        process: The process.
        time_range: First and last time of training.
        knots: Times at which the moments are given, [time].
        center: Mean of the states at each knot.
        covariance: Their covariance, positive definite.
        network: The network, shown the whitened state.
        components: Which components are learned.

    Raises:
        ValueError: If the knots do not rise or there are not as many moments.
        NumericalError: If a covariance is not positive definite.
    """

    def __init__(
        self,
        process: Process,
        time_range: tuple[float, float],
        *,
        knots: list[float],
        center: list[list[float]],
        covariance: list[list[list[float]]],
        network: Architecture,
        components: Selection = "all",
    ) -> None:
        super().__init__(process, time_range, components=components)
        times = torch.tensor(knots, dtype=torch.float64)
        matrices = torch.tensor(covariance, dtype=torch.float64).permute(1, 2, 0)
        self.center = Interpolation(times, torch.tensor(center))
        self.factor = Interpolation(times, ordered_factor(matrices, self.learned).permute(2, 0, 1))
        self.moments = {"knots": knots, "center": center, "covariance": covariance}
        self.architecture = network
        self.network = network.build(self.layout(channels=1))

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this model; see ``ScoreModel.options``."""
        return {**self.moments, "network": plain(self.architecture), "components": self.learned.selection}

    def prepare(self, state: Tensor, time: Tensor) -> Prepared:
        """Return the states whitened at their time, and the frame of that time; see ``ScoreModel.prepare``."""
        factor = self.factor(time).permute(1, 2, 0).contiguous()
        white = whiten(state - self.center(time), factor, self.learned)
        return Prepared(white.unsqueeze(-1), self.clock(time), TriangularFrame.of(factor, self.learned))

    def weighted(self, prepared: Prepared) -> Tensor:
        r"""Return :math:`-z + n_\theta`; see ``ScoreModel.weighted``."""
        added = self.network(prepared.features, prepared.clock)
        return self.learned.take(added - prepared.features[..., 0])


@dataclasses.dataclass(frozen=True, kw_only=True)
class GaussianResidual(Parametrization):
    """The score of the Gaussian with the moments of each time, and a network of what is not Gaussian.

    It mixes components, and with them particles: it is for few components.

    Arguments:
        network: The network.
        components: Which components are learned.

    Raises:
        ValueError: If a setting is not one of those named.
    """

    def build(
        self, process: Process, pilot: Pilot, schedule: LagSchedule, time_range: tuple[float, float]
    ) -> GaussianResidualScore:
        """Return a fresh score with the moments of the pilot states; see ``Parametrization.build``.

        Raises:
            ValueError: If there are too few pilot states for a covariance.
        """
        paths = pilot.states.shape[1]
        if paths <= process.dimension:
            raise ValueError(
                f"a covariance of {process.dimension} components needs more pilot states of a time than the {paths} "
                "there are; simulate more paths, or use another parametrisation."
            )
        knots, found = moments_at_knots(pilot, time_range)
        return GaussianResidualScore(
            process,
            time_range,
            knots=knots.tolist(),
            center=found.mean.tolist(),
            covariance=found.covariance.tolist(),
            network=self.network,
            components=self.components,
        )
