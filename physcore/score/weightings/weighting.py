"""The contract of a weighting."""

import abc
from typing import ClassVar

import torch
from torch import Tensor

from physcore.process import Process
from physcore.score.lags import LagSchedule, Pilot
from physcore.score.model import ScoreFrame

__all__ = ["Weighting"]


class Weighting(abc.ABC):
    r"""The linear map :math:`A(y, t)` in :math:`\tfrac12 |A (s_\theta - s)|^2`.

    It depends on the evaluation point alone: one that depended on the state where a transition started would be
    correlated with the target, and the minimiser would not be the score. Subclasses write ``apply``; one that measures
    before it knows writes ``fitted``.
    """

    group: ClassVar[str] = "physcore.weightings"

    @abc.abstractmethod
    def apply(self, process: Process, weighted: Tensor, frame: ScoreFrame, time: Tensor) -> Tensor:
        r"""Return :math:`A s`.

        Arguments:
            process: The process.
            weighted: Scores in the model's frame, :math:`M^T s`, shape ``(batch, learned component)``.
            frame: That frame.
            time: Times, shape ``(batch,)``.

        Returns:
            Shape ``(batch, entry)``.
        """

    def transposed(self, process: Process, applied: Tensor, frame: ScoreFrame, time: Tensor) -> Tensor:
        r"""Return :math:`A^T u`, by differentiation unless a subclass writes it.

        Arguments:
            process: The process.
            applied: Vectors :math:`u`, shape ``(batch, entry)``.
            frame: The model's frame.
            time: Times, shape ``(batch,)``.

        Returns:
            Shape ``(batch, component)``, differentiable in vectors and frame.
        """
        with torch.enable_grad():
            score = applied.new_zeros(len(applied), process.dimension, requires_grad=True)
            measured = self.apply(process, frame.weight(score), frame, time)
            return torch.autograd.grad(measured, score, applied, create_graph=True)[0]

    def fitted(self, pilot: Pilot, schedule: LagSchedule) -> "Weighting":
        """Return the weighting with all that it measures known; itself when there is nothing to measure.

        Arguments:
            pilot: Simulated states.
            schedule: Lags of the objective.
        """
        return self
