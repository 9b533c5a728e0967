"""The contract of a learned score, and the frame in which it is stated."""

import abc
import dataclasses
from typing import Any

import torch
import xarray as xr
from torch import Tensor, nn

from physcore.process import Process
from physcore.score.transition import LocalLinearization

__all__ = ["Prepared", "Rows", "ScoreFrame", "ScoreModel"]

Rows = slice | Tensor


class ScoreFrame(abc.ABC):
    r"""The linear frame :math:`M(y, t)` in which a model states its score, a function of the evaluation point alone."""

    @abc.abstractmethod
    def weight(self, score: Tensor) -> Tensor:
        """Return :math:`M^T s`, shape ``(batch, component)``, for scores of the same shape."""

    @abc.abstractmethod
    def unweight(self, weighted: Tensor) -> Tensor:
        """Return :math:`M^{-T} w`, shape ``(batch, component)``, for weighted scores of the same shape."""

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
    """

    def __init__(self, process: Process, time_range: tuple[float, float]) -> None:
        super().__init__()
        self.process = process
        self.time_range = time_range
        self.linearization = LocalLinearization(process)
        self.history: xr.Dataset | None = None

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
            Weighted scores :math:`M(y, t)^T s_\theta`, shape ``(batch, component)``.
        """

    def forward(self, state: Tensor, time: Tensor | float) -> Tensor:
        """Return the score.

        Arguments:
            state: States, shape ``(..., component)``, any floating dtype.
            time: Times, shape ``(...)`` or broadcastable to it.

        Returns:
            Score, shape and dtype of ``state``, units 1 / [state].

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
