"""The optimiser's side of a fit: Adam, the learning-rate schedule and the averaged parameters."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from physcore.communicator import Communicator
from physcore.score.model import ScoreModel
from physcore.score.training import Training

__all__ = ["Optimization"]

AverageFunction = Callable[[tuple[Tensor, ...] | list[Tensor], tuple[Tensor, ...] | list[Tensor], Tensor | int], None]


class Optimization:
    """A score being optimised, with the exponential moving average of its parameters.

    Arguments:
        score: The score; its parameters are changed in place.
        training: Learning rate, steps, decay and limit of the gradient.
    """

    def __init__(self, score: ScoreModel, training: Training) -> None:
        self.score = score
        self.training = training
        self._parameters = [parameter for parameter in score.parameters() if parameter.requires_grad]
        self._average = AveragedModel(score, multi_avg_fn=_moving_average(training.average_decay))
        self._adam = torch.optim.Adam(self._parameters, lr=training.learning_rate, fused=True)
        self._schedule = LambdaLR(self._adam, lambda step: training.learning_rate_after(step) / training.learning_rate)

    @property
    def averaged(self) -> ScoreModel:
        """The score with averaged parameters."""
        return cast(ScoreModel, self._average.module)

    def step(self, loss: Tensor, communicator: Communicator) -> None:
        """Do one step.

        Arguments:
            loss: This rank's part of the mean loss; the parts add up.
            communicator: Ranks whose gradients are summed.

        Raises:
            ArithmeticError: If the gradient is not finite; nothing has been changed then.
        """
        self._adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if communicator.size > 1:
            self._sum_gradients(communicator)
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, self.training.gradient_limit)
        if not torch.isfinite(norm):
            raise ArithmeticError(f"the gradient's norm is {float(norm)}")
        self._adam.step()
        self._schedule.step()
        self._average.update_parameters(self.score)

    def result(self) -> ScoreModel:
        """Return the averaged score, frozen."""
        return self.averaged.requires_grad_(False)

    def state(self) -> dict[str, Any]:
        """Return everything a later ``restore`` needs, as tensors and plain values."""
        return {
            "score": self.score.state_dict(),
            "average": self._average.state_dict(),
            "adam": self._adam.state_dict(),
            "schedule": self._schedule.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self.score.load_state_dict(state["score"])
        self._average.load_state_dict(state["average"])
        self._adam.load_state_dict(state["adam"])
        self._schedule.load_state_dict(state["schedule"])

    def _sum_gradients(self, communicator: Communicator) -> None:
        """Sum the gradients over the ranks in one flat buffer."""
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients]).cpu()
        communicator.sum_in_place(flat.numpy())
        for gradient, summed in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))


def _moving_average(decay: float) -> AverageFunction:
    """Return an exponential moving average that forgets its start.

    With a constant decay the random first parameters keep a weight of decay^steps, 2 % after 4,000 steps at 0.999; a
    decay that rises as (1 + n) / (10 + n) has lost them long before.
    """

    @torch.no_grad()
    def update(
        averaged: tuple[Tensor, ...] | list[Tensor], current: tuple[Tensor, ...] | list[Tensor], count: Tensor | int
    ) -> None:
        n = int(count)
        torch._foreach_lerp_(list(averaged), list(current), 1 - min(decay, (1 + n) / (10 + n)))

    return update
