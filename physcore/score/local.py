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
from physcore.score.batches import TrajectoryBatches
from physcore.score.model import ScoreFrame, ScoreModel
from physcore.score.networks import MLP, Layout
from physcore.small_matrices import solve_transposed, transpose_multiply

__all__ = ["Local", "LocalScore"]

PILOT_SAMPLES = 65_536
LAGS_IN_WINDOW = 3.0


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


class LocalScore(ScoreModel):
    """A score in the local frame of its process, with a multilayer perceptron.

    Arguments:
        process: The process, whose own linearisation makes the frame.
        time_range: First and last time of training.
        window: Time :math:`w` over which the frame's covariance builds up, [time].
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
        center: Sequence[float],
        scale: Sequence[float],
        drift_scale: Sequence[float],
        width: int = 64,
        depth: int = 3,
    ) -> None:
        super().__init__(process, time_range)
        if not window > 0:
            raise ValueError(f"`window` must be positive; got {window}.")
        self.window = window
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
        return {"window": self.window, **scales, **self._shape}

    def weighted(self, state: Tensor, time: Tensor) -> tuple[Tensor, LocalFrame]:
        r"""Return :math:`-n_\theta` and the local frame; see ``ScoreModel.weighted``."""
        transition = self.linearization.transition(state, time, time.new_full((1,), self.window))
        features = self._features(state, time, transition.mean.T, transition.factor)
        return -self.network(features, self._clock(time)), LocalFrame(transition.factor)

    def _clock(self, time: Tensor) -> Tensor:
        first, last = self.time_range
        elapsed = (time - first) / max(last - first, 1e-12)
        return torch.stack([2 * elapsed - 1, torch.exp(-5 * elapsed), torch.exp(-20 * elapsed)], -1)

    def _features(self, state: Tensor, time: Tensor, mean: Tensor, factor: Tensor) -> Tensor:
        drift = self.process.drift(state, time) / self.drift_scale
        moved = (mean - state) / torch.sqrt((factor * factor).sum(1)).T
        return torch.stack([(state - self.center) / self.scale, torch.asinh(drift), torch.asinh(moved)], -1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Local:
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

    def build(self, process: Process, batches: TrajectoryBatches, lag: float) -> LocalScore:
        """Return a fresh score whose scales are those of the trajectories.

        Arguments:
            process: The process.
            batches: Simulated states.
            lag: Lag of the objective, [time].
        """
        device = batches.states.device
        pilot = batches.draw(
            PILOT_SAMPLES, batches.training_paths, torch.Generator(device=device).manual_seed(PILOT_SAMPLES)
        )
        drift = process.drift(pilot.state, pilot.start)
        # A component that does not move, or has no drift, keeps its own unit.
        scale = torch.where(pilot.state.std(0) > 0, pilot.state.std(0), 1.0)
        drift_scale = torch.where(drift.square().mean(0) > 0, drift.square().mean(0).sqrt(), 1.0)
        return LocalScore(
            process,
            batches.time_range,
            window=LAGS_IN_WINDOW * lag if self.window is None else self.window,
            center=pilot.state.mean(0).tolist(),
            scale=scale.tolist(),
            drift_scale=drift_scale.tolist(),
            width=self.width,
            depth=self.depth,
        )
