"""The contract of a learned score."""

import abc
from typing import Any

import torch
import xarray as xr
from torch import Tensor, nn

from physcore.process import Process
from physcore.score.transition import LocalLinearization

__all__ = ["ScoreModel"]


class ScoreModel(nn.Module, abc.ABC):
    r"""A time-dependent score with parameters, :math:`s_\theta(y, t)`.

    Subclasses write ``weighted`` and ``options``. A model is called as ``score(state, time)``; after a fit its
    ``history`` is the Dataset of losses.

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
    def weighted(self, state: Tensor, time: Tensor) -> tuple[Tensor, "ScoreFrame"]:
        r"""Return the score in the model's own frame, with the frame.

        Arguments:
            state: States, shape ``(batch, component)``, in the dtype of the parameters.
            time: Times, shape ``(batch,)``.

        Returns:
            Weighted scores :math:`M(y, t)^T s_\theta`, shape ``(batch, component)``, and the frame that knows
            :math:`M`, a function of the evaluation point alone.
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
        weighted, frame = self.weighted(points, times)
        return frame.unweight(weighted).reshape(state.shape).to(state.dtype)


class ScoreFrame(abc.ABC):
    r"""The linear frame :math:`M(y, t)` in which a model states its score, and in which its loss is measured."""

    @abc.abstractmethod
    def weight(self, score: Tensor) -> Tensor:
        """Return :math:`M^T s`, shape ``(batch, component)``, for scores of the same shape."""

    @abc.abstractmethod
    def unweight(self, weighted: Tensor) -> Tensor:
        """Return :math:`M^{-T} w`, shape ``(batch, component)``, for weighted scores of the same shape."""
