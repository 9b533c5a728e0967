"""The contract of a weighting."""

import abc
from typing import ClassVar

from torch import Tensor

from physcore.process import Process
from physcore.score.model import ScoreFrame

__all__ = ["Weighting"]


class Weighting(abc.ABC):
    r"""The linear map :math:`A(y, t)` in :math:`\tfrac12 |A (s_\theta - s)|^2`.

    It depends on the evaluation point alone: one that depended on the state where a transition started would be
    correlated with the target, and the minimiser would not be the score.
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
