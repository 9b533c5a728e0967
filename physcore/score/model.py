"""The contract of a learned score, and the frame in which it is stated."""

import abc
import dataclasses
from typing import Any

import torch
import xarray as xr
from torch import Tensor, nn

from physcore.particles import ManyParticles
from physcore.process import Process
from physcore.score.components import Components, Selection
from physcore.score.linearization import LocalLinearization
from physcore.score.networks import Layout

__all__ = ["Prepared", "Rows", "ScoreFrame", "ScoreModel"]

Rows = slice | Tensor

CLOCK_RATES = (5.0, 20.0)


class ScoreFrame(abc.ABC):
    r"""The linear frame :math:`M(y, t)` in which a model states its score, a function of the evaluation point alone."""

    @abc.abstractmethod
    def weight(self, score: Tensor) -> Tensor:
        """Return :math:`M^T s` of the learned components.

        Arguments:
            score: Scores of all components, shape ``(batch, component)``.

        Returns:
            Shape ``(batch, learned component)``; the entries of other components play no part.
        """

    @abc.abstractmethod
    def unweight(self, weighted: Tensor) -> Tensor:
        """Return :math:`M^{-T} w`.

        Arguments:
            weighted: Weighted scores, shape ``(batch, learned component)``.

        Returns:
            Shape ``(batch, component)``, zero in components that are not learned.
        """

    @abc.abstractmethod
    def rows(self, rows: Rows) -> "ScoreFrame":
        """Return the frame of some of the points, a slice or indices."""


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What a model makes of states and times before its parameters come in; the same for every step of a fit.

    Arguments:
        features: What the network is shown of each component, shape ``(batch, component, channel)``.
        clock: What it is shown of the time, shape ``(batch, feature)``.
        frame: The frame of the points.
    """

    features: Tensor
    clock: Tensor
    frame: ScoreFrame

    def rows(self, rows: Rows) -> "Prepared":
        """Return what was prepared for some of the points, a slice or indices."""
        return Prepared(self.features[rows], self.clock[rows], self.frame.rows(rows))


class ScoreModel(nn.Module, abc.ABC):
    r"""A time-dependent score with parameters, :math:`s_\theta(y, t)`.

    Subclasses write ``prepare``, ``weighted`` and ``options``. A model is called as ``score(state, time)``; after a fit
    its ``history`` is the Dataset of losses.

    Arguments:
        process: The process whose score it is.
        time_range: First and last time it was or will be trained for.
        components: Which components are learned; a score returns zero in the others.

    Raises:
        ValueError: If only driven components are to be learned and there are none.
    """

    def __init__(self, process: Process, time_range: tuple[float, float], *, components: Selection = "all") -> None:
        super().__init__()
        self.process = process
        self.time_range = time_range
        self.learned = Components.of(process, components)
        self.linearization = LocalLinearization(process)
        self.history: xr.Dataset | None = None

    @property
    def components(self) -> tuple[int, ...]:
        """Indices of the learned components."""
        return self.learned.indices

    def extra_repr(self) -> str:
        """Return what the score is of, for its ``repr``."""
        first, last = self.time_range
        return f"process={self.process!r}, time_range=({first:g}, {last:g}), components={self.learned.selection!r}"

    def layout(self, channels: int) -> Layout:
        """Return the layout of a network that is shown so many features of each component, and the clock."""
        process = self.process
        particles = process.particles if isinstance(process, ManyParticles) else None
        return Layout(components=process.dimension, channels=channels, clock=1 + len(CLOCK_RATES), particles=particles)

    def hold(self, **scales: list[float]) -> None:
        """Hold numbers, one for each component, as buffers; ``options`` repeats them and not the saved state.

        Arguments:
            scales: Numbers by the name of the buffer.

        Raises:
            ValueError: If there are not as many as components.
        """
        for name, values in scales.items():
            if len(values) != self.process.dimension:
                raise ValueError(f"`{name}` must have {self.process.dimension} entries; got {len(values)}.")
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)

    def clock(self, time: Tensor) -> Tensor:
        """Return features of times of shape ``(batch,)``, shape ``(batch, feature)``: finer early in the range."""
        first, last = self.time_range
        elapsed = (time - first) / max(last - first, 1e-12)
        return torch.stack([2 * elapsed - 1, *(torch.exp(-rate * elapsed) for rate in CLOCK_RATES)], -1)

    def trained_at(self, time: float) -> bool:
        """Return whether a time lies in the trained range, to rounding."""
        first, last = self.time_range
        slack = 1e-6 * max(abs(first), abs(last))
        return first - slack <= time <= last + slack

    @property
    @abc.abstractmethod
    def options(self) -> dict[str, Any]:
        """Keyword arguments, plain values, that rebuild this model with fresh parameters."""

    @abc.abstractmethod
    def prepare(self, state: Tensor, time: Tensor) -> Prepared:
        """Return what the network is shown of points, and their frame.

        Arguments:
            state: States, shape ``(batch, component)``, in the dtype of the parameters.
            time: Times, shape ``(batch,)``.
        """

    @abc.abstractmethod
    def weighted(self, prepared: Prepared) -> Tensor:
        r"""Return the score in the model's own frame.

        Arguments:
            prepared: What ``prepare`` made of the points.

        Returns:
            Weighted scores :math:`M(y, t)^T s_\theta`, shape ``(batch, learned component)``.
        """

    def forward(self, state: Tensor, time: Tensor | float) -> Tensor:
        """Return the score.

        Arguments:
            state: States, shape ``(..., component)``, any floating dtype.
            time: Times, shape ``(...)`` or broadcastable to it.

        Returns:
            Score, shape and dtype of ``state``, units 1 / [state]; zero in components that are not learned.

        Raises:
            ValueError: If the last axis of ``state`` is not the process's dimension.
        """
        if state.shape[-1:] != (self.process.dimension,):
            raise ValueError(
                f"`state` must end in {self.process.dimension} components; got shape {tuple(state.shape)}."
            )
        parameter = next(self.parameters())
        points = state.reshape(-1, self.process.dimension).to(parameter)
        times = torch.as_tensor(time).to(parameter).expand(state.shape[:-1]).reshape(-1)
        prepared = self.prepare(points, times)
        return prepared.frame.unweight(self.weighted(prepared)).reshape(state.shape).to(state.dtype)

    def score(self, state: Tensor, time: Tensor | float) -> Tensor:
        """Return the score, shape and dtype of ``state``; the name that references have for it, see ``forward``."""
        return self.forward(state, time)
