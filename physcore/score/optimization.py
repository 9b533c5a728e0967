"""The optimiser's side of a fit: Adam, the learning rate and the averaged parameters.

Parameters, gradients and averages each lie in one flat buffer, of which those of the network are views: a step takes a
few calls whatever the number of layers, and ranks sum one buffer. What is not finite is skipped without asking the
device, which on a GPU would stall it.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from physcore.communicator import Communicator
from physcore.score.model import ScoreModel
from physcore.score.training import Training

__all__ = ["Optimization"]


class Optimization:
    """A score being optimised, with the exponential moving average of its parameters.

    Arguments:
        score: The score; its parameters are changed in place.
        training: Learning rate, decay and limit of the gradient.
        communicator: Ranks whose gradients are summed.

    Attributes:
        averaged: The score with averaged parameters.
        average: Its parameters that are learned, one after the other in one tensor.
    """

    def __init__(self, score: ScoreModel, training: Training, communicator: Communicator) -> None:
        self.score = score
        self.training = training
        self.averaged = copy.deepcopy(score).requires_grad_(False)
        learned = {name: parameter for name, parameter in score.named_parameters() if parameter.requires_grad}
        twins = dict(self.averaged.named_parameters())
        self._communicator = communicator
        self._parameters = nn.Parameter(_flattened(list(learned.values())))
        self.average = _flattened([twins[name] for name in learned])
        # The gradient, and after it a flag for each rank: raised where its loss or gradient is not finite.
        self._buffer = self.average.new_zeros(len(self.average) + communicator.size)
        self._gradient, self._flags = self._buffer.tensor_split([len(self.average)])
        self._parameters.grad = self._gradient
        pieces = torch.split(self._gradient, [parameter.numel() for parameter in learned.values()])
        for parameter, piece in zip(learned.values(), pieces, strict=True):
            parameter.grad = piece.view_as(parameter)
        self._adam = torch.optim.Adam([self._parameters], lr=training.learning_rate, fused=True)
        for network in score.children():
            if training.precision == "bfloat16":
                _reduce(network, self.average.device.type)
            if training.compile:
                network.compile(dynamic=False)

    def step(self, loss: Tensor, done: int) -> tuple[Tensor, Tensor]:
        """Do one step, or nothing if a loss or gradient is not finite.

        Arguments:
            loss: This rank's part of the mean loss; the parts add up.
            done: Steps done before.

        Returns:
            Whether the step was skipped, 0 or 1, the same on every rank, shape ``()``; and which ranks had something
            that is not finite, shape ``(rank,)``.
        """
        self._buffer.zero_()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = self._gradient.norm()
        skipped = (~torch.isfinite(norm + loss.detach())).float()
        self._flags[self._communicator.rank] = skipped
        if self._communicator.size > 1:
            self._communicator.sum_tensor(self._buffer)
            norm = self._gradient.norm()
            skipped = (~torch.isfinite(norm) | (self._flags.sum() > 0)).float()
        self._gradient.mul_((self.training.gradient_limit / (norm + 1e-6)).clamp(max=1.0))
        self._adam.param_groups[0]["lr"] = self.training.learning_rate_after(done)
        self._adam.found_inf = skipped  # type: ignore[attr-defined]  # how torch's own scaler has a fused step skipped
        self._adam.step()
        self.average.lerp_(self._parameters.detach(), (1 - skipped) * self._renewal(done))
        return skipped, self._flags.clone()

    def result(self, parameters: Tensor) -> ScoreModel:
        """Return the averaged score, frozen, with the parameters given, all in one tensor as in ``average``."""
        self.average.copy_(parameters)
        for parameter in self.averaged.parameters():
            parameter.data = parameter.data.clone()
        return self.averaged

    def state(self) -> dict[str, Any]:
        """Return everything a later ``restore`` needs, as tensors and plain values."""
        return {
            "score": self.score.state_dict(),
            "average": self.averaged.state_dict(),
            "adam": self._adam.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self.score.load_state_dict(state["score"])
        self.averaged.load_state_dict(state["average"])
        self._adam.load_state_dict(state["adam"])

    def _renewal(self, done: int) -> float:
        """Return the weight of the newest parameters in an average that forgets its start.

        With a constant decay the random first parameters keep a weight of decay^steps, 2 % after 4,000 steps at 0.999;
        a decay that rises as (1 + n) / (10 + n) has lost them long before.
        """
        return 1 - min(self.training.average_decay, (1 + done) / (10 + done)) if done else 1.0


def _reduce(network: nn.Module, device: str) -> None:
    """Have a network compute its products in bfloat16; what comes in and out of it stays in float32."""
    whole = network.forward

    def forward(*given: Tensor) -> Tensor:
        with torch.autocast(device, torch.bfloat16):
            result: Tensor = whole(*given)
        return result.float()

    network.forward = forward


def _flattened(parameters: list[nn.Parameter]) -> Tensor:
    """Move parameters into one tensor, of which they become views, and return it."""
    flat = torch.cat([parameter.detach().reshape(-1) for parameter in parameters])
    pieces = torch.split(flat, [parameter.numel() for parameter in parameters])
    for parameter, piece in zip(parameters, pieces, strict=True):
        parameter.data = piece.view_as(parameter)
    return flat
