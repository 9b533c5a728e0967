r"""The local parametrisation of a score.

.. math:: s_\theta(y, t) = -L(y, t)^{-T} n_\theta(y, t), \qquad
          L L^T = \int_0^w e^{J u} Q e^{J^T u}\,du, \quad J = \nabla f(y, t)

:math:`L` is the Cholesky factor of the covariance that the dynamics, linearised at the evaluation point itself, build
up over a window :math:`w`. Where the density is thin because the dynamics contract, :math:`L` is thin in the same
direction, and the network :math:`n_\theta` has numbers of order one to learn. The loss is measured in the same frame,
:math:`|L^T (s_\theta - s)|^2`: a weight that depends on the evaluation point alone leaves the minimiser the score;
one that depended on where the transition started would not.

Source: derived.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from physcore.process import Process
from physcore.score.lags import LagSchedule, Pilot
from physcore.score.model import Prepared, Rows, ScoreFrame, ScoreModel
from physcore.score.networks import MLP, Layout
from physcore.score.parametrizations.parametrization import Parametrization
from physcore.small_matrices import solve_transposed, transpose_multiply

__all__ = ["Local", "LocalScore"]

LAGS_IN_WINDOW = 3.0
SHORTEST_WINDOW = 0.1


@dataclasses.dataclass(frozen=True)
class LocalFrame(ScoreFrame):
    """The frame of local Cholesky factors, shape ``(component, component, batch)``."""

    factor: Tensor

    def weight(self, score: Tensor) -> Tensor:
        """Return :math:`L^T s`; see ``ScoreFrame.weight``."""
        return transpose_multiply(self.factor, score.T).T

    def unweight(self, weighted: Tensor) -> Tensor:
        """Return :math:`L^{-T} w`; see ``ScoreFrame.unweight``."""
        return solve_transposed(self.factor, weighted.T).T

    def rows(self, rows: Rows) -> "LocalFrame":
        """Return the frame of some of the points; see ``ScoreFrame.rows``."""
        return self if self.factor.shape[-1] == 1 else LocalFrame(self.factor[:, :, rows])


class LocalScore(ScoreModel):
    """A score in the local frame of its process, with a multilayer perceptron.

    Arguments:
        process: The process, whose own linearisation makes the frame.
        time_range: First and last time of training.
        window: Time :math:`w` over which the frame's covariance builds up, [time].
        start: Time of the first state, [time]; the covariance has built up since then at most.
        center: Mean of the states, one for each component.
        scale: Standard deviation of the states.
        drift_scale: Root mean square of the drift.
        width: Units of a hidden layer.
        depth: Number of hidden layers.

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
        center: Sequence[float],
        scale: Sequence[float],
        drift_scale: Sequence[float],
        width: int = 64,
        depth: int = 3,
    ) -> None:
        super().__init__(process, time_range)
        if not window > 0:
            raise ValueError(f"`window` must be positive; got {window}.")
        self.window, self.start = window, start
        d = process.dimension
        for name, value in (("center", center), ("scale", scale), ("drift_scale", drift_scale)):
            if len(value) != d:
                raise ValueError(f"`{name}` must have {d} entries; got {len(value)}.")
            self.register_buffer(name, torch.tensor(list(value), dtype=torch.float32), persistent=False)
        self.network = MLP(width=width, depth=depth).build(Layout(components=d, channels=3, clock=3))
        self._shape = {"width": width, "depth": depth}

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments that rebuild this model; see ``ScoreModel.options``."""
        scales = {name: getattr(self, name).tolist() for name in ("center", "scale", "drift_scale")}
        return {"window": self.window, "start": self.start, **scales, **self._shape}

    def prepare(self, state: Tensor, time: Tensor) -> Prepared:
        """Return features of the points and their local frame; see ``ScoreModel.prepare``."""
        # Since the start no more has built up; what moves the frame with time alone leaves the minimiser the score.
        duration = (time - self.start).clamp(SHORTEST_WINDOW * self.window, self.window)
        transition = self.linearization.transition(state, time, duration)
        first, last = self.time_range
        elapsed = (time - first) / max(last - first, 1e-12)
        clock = torch.stack([2 * elapsed - 1, torch.exp(-5 * elapsed), torch.exp(-20 * elapsed)], -1)
        drift = self.process.drift(state, time) / self.drift_scale
        moved = (transition.mean.T - state) / torch.sqrt((transition.factor * transition.factor).sum(1)).T
        features = torch.stack([(state - self.center) / self.scale, torch.asinh(drift), torch.asinh(moved)], -1)
        return Prepared(features, clock, LocalFrame(transition.factor))

    def weighted(self, prepared: Prepared) -> Tensor:
        r"""Return :math:`-n_\theta`; see ``ScoreModel.weighted``."""
        outputs: Tensor = self.network(prepared.features, prepared.clock)
        return -outputs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Local(Parametrization):
    """The local parametrisation with a multilayer perceptron, to be built for a process and its trajectories.

    Arguments:
        window: Time over which the local frame's covariance builds up, [time]; three lags when None.
        width: Units of a hidden layer.
        depth: Number of hidden layers.

    Raises:
        ValueError: If a number is not positive.
    """

    window: float | None = None
    width: int = 64
    depth: int = 3

    def __post_init__(self) -> None:
        if self.window is not None and not self.window > 0:
            raise ValueError(f"`window` must be positive; got {self.window}.")
        for name in ("width", "depth"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1; got {getattr(self, name)}.")

    def build(
        self, process: Process, pilot: Pilot, schedule: LagSchedule, time_range: tuple[float, float]
    ) -> LocalScore:
        """Return a fresh score whose scales are those of the trajectories; see ``Parametrization.build``."""
        drift = process.drift(pilot.states, pilot.times.to(pilot.states).unsqueeze(-1)).flatten(0, 1)
        states, mean_square = pilot.states.flatten(0, 1), drift.square().mean(0)
        longest = float(schedule.lag(torch.linspace(*time_range, 64, dtype=torch.float64)).max())
        return LocalScore(
            process,
            time_range,
            window=LAGS_IN_WINDOW * longest if self.window is None else self.window,
            start=float(pilot.times[0]),
            center=states.mean(0).tolist(),
            # A component that does not move, or has no drift, keeps its own unit.
            scale=torch.where(states.std(0) > 0, states.std(0), 1.0).tolist(),
            drift_scale=torch.where(mean_square > 0, mean_square.sqrt(), 1.0).tolist(),
            width=self.width,
            depth=self.depth,
        )
