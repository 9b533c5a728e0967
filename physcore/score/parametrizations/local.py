r"""The local parametrisation of a score.

.. math:: s_\theta(y, t) = -L(y, t)^{-T} n_\theta(y, t), \qquad
          L L^T = \int_0^w e^{J u} Q e^{J^T u}\,du, \quad J = \nabla f(y, t)

:math:`L` is the Cholesky factor of the covariance that the dynamics, linearised at the evaluation point itself, build
up over a window :math:`w`, or soon after the start :math:`t_0` over :math:`w \tanh((t - t_0) / w)`. Where the density
is thin because the dynamics contract, :math:`L` is thin in the same direction, and the network :math:`n_\theta` has
numbers of order one to learn. The loss is measured in the same frame, :math:`|L^T (s_\theta - s)|^2`: a weight that
depends on the evaluation point alone leaves the minimiser the score; one that depended on where the transition started
would not. Where only driven components are learned they come last in :math:`L`, of which the lower right block then is
the frame; see ``frames``.

Source: derived.
"""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from physcore.inverse_sinh import inverse_sinh
from physcore.process import Process
from physcore.registry import plain
from physcore.score.components import Selection
from physcore.score.lags import LagSchedule, Pilot
from physcore.score.model import Prepared, ScoreModel
from physcore.score.networks import Architecture
from physcore.score.parametrizations.frames import TriangularFrame, ordered_factor
from physcore.score.parametrizations.marginals import moments
from physcore.score.parametrizations.parametrization import Parametrization

__all__ = ["Local", "LocalScore"]

LAGS_IN_WINDOW = 3.0
SHORTEST_WINDOW = 0.1


class LocalScore(ScoreModel):
    """A score in the local frame of its process.

    Arguments:
        process: The process, whose own linearisation makes the frame.
        time_range: First and last time of training.
        window: Time :math:`w` over which the frame's covariance builds up, [time].
        start: Time of the first state, [time]; the covariance has built up since then at most, unless the process has
            many components and the same linearisation everywhere.
        center: Mean of the states, one for each component.
        scale: Standard deviation of the states.
        drift_scale: Root mean square of the drift.
        network: The network, shown the standardised state, the drift, and the displacement over the window.
        components: Which components are learned.

    Raises:
        ValueError: If the window is not positive or a scale has the wrong length.
    """

    center: Tensor
    scale: Tensor
    drift_scale: Tensor

    def __init__(
        self,
        process: Process,
        time_range: tuple[float, float],
        *,
        window: float,
        start: float,
        center: list[float],
        scale: list[float],
        drift_scale: list[float],
        network: Architecture,
        components: Selection = "all",
    ) -> None:
        super().__init__(process, time_range, components=components)
        if not window > 0:
            raise ValueError(f"`window` must be positive; got {window}.")
        self.window, self.start = window, start
        self.hold(center=center, scale=scale, drift_scale=drift_scale)
        self.architecture = network
        self.network = network.build(self.layout(channels=3))

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this model; see ``ScoreModel.options``."""
        return {
            "window": self.window,
            "start": self.start,
            **{name: getattr(self, name).tolist() for name in ("center", "scale", "drift_scale")},
            "network": plain(self.architecture),
            "components": self.learned.selection,
        }

    def prepare(self, state: Tensor, time: Tensor) -> Prepared:
        """Return features of the points and their local frame; see ``ScoreModel.prepare``."""
        if self.linearization.same_everywhere:
            # One factor then serves all points; one for each is too much in many components.
            duration = time.new_full((1,), self.window)
        else:
            # Since the start no more has built up; what moves the frame with time alone leaves the minimiser the score.
            # The window is neared smoothly: a kink in time would be the network's to learn.
            reached = torch.tanh((time - self.start) / self.window)
            duration = self.window * reached.clamp_min(SHORTEST_WINDOW)
        displacement, covariance = self.linearization.moments(state, time, duration)
        drift = self.process.drift(state, time) / self.drift_scale
        moved = (displacement / covariance.diagonal().T.sqrt()).T
        shown = ((state - self.center) / self.scale, inverse_sinh(drift), inverse_sinh(moved))
        features = torch.stack(shown).permute(1, 2, 0).contiguous()  # sooner than to stack along the last axis
        frame = TriangularFrame.of(ordered_factor(covariance, self.learned), self.learned)
        return Prepared(features, self.clock(time), frame)

    def weighted(self, prepared: Prepared) -> Tensor:
        r"""Return :math:`-n_\theta`; see ``ScoreModel.weighted``."""
        return -self.learned.take(self.network(prepared.features, prepared.clock))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Local(Parametrization):
    """A network of state, drift and displacement, in the local frame.

    Arguments:
        network: The network.
        components: Which components are learned.
        window: Time over which the local frame's covariance builds up, [time]; three lags when None, which an objective
            without a lag must not leave it.

    Raises:
        ValueError: If the window is not positive or a setting is not one of those named.
    """

    window: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window is not None and not self.window > 0:
            raise ValueError(f"`window` must be positive; got {self.window}.")

    def build(
        self, process: Process, pilot: Pilot, schedule: LagSchedule, time_range: tuple[float, float]
    ) -> LocalScore:
        """Return a fresh score whose scales are those of the trajectories; see ``Parametrization.build``."""
        drift = process.drift(pilot.states, pilot.times.to(pilot.states).unsqueeze(-1)).flatten(0, 1)
        found, mean_square = moments(pilot), drift.square().mean(0)
        longest = float(schedule.lag(torch.linspace(*time_range, 64, dtype=torch.float64)).max())
        if self.window is None and longest == 0:
            raise ValueError(
                "the model `local` must be given a `window`, [time], such as {name: local, window: 0.1}: it would be "
                "three lags of the objective, which has none."
            )
        return LocalScore(
            process,
            time_range,
            window=LAGS_IN_WINDOW * longest if self.window is None else self.window,
            start=float(pilot.times[0]),
            center=found.mean.tolist(),
            scale=found.deviation.tolist(),
            # A component that has no drift keeps its own unit.
            drift_scale=torch.where(mean_square > 0, mean_square.sqrt(), 1.0).tolist(),
            network=self.network,
            components=self.components,
        )
