"""Which parameters of a fit are its result, and when it need not go on.

Every validation uses the same held-out samples with the same noise, so two parameter sets are compared sample by
sample: most of the noise of their losses is common and cancels in the difference.
"""

import dataclasses
from typing import Any

import torch
from torch import Tensor

__all__ = ["Selection"]


@dataclasses.dataclass
class Selection:
    """The best parameters validated so far.

    The best change when new ones are better by more than the noise, so that the lowest of many noisy losses does not
    win by luck.

    Arguments:
        significance: Standard errors of the paired difference beyond which a loss is lower or higher.
        step: Steps done when the best were validated.
        parameters: The best, all in one tensor, None before the first validation.
        losses: Their validation loss of each held-out sample.
        waited: Validations since then.
    """

    significance: float
    step: int = 0
    parameters: Tensor | None = None
    losses: Tensor | None = None
    waited: int = 0

    def offer(self, step: int, parameters: Tensor, losses: Tensor) -> bool:
        """Compare validated parameters with the best; return whether they are the best now.

        Arguments:
            step: Steps done.
            parameters: Parameters, all in one tensor.
            losses: Validation loss of each held-out sample, shape ``(sample,)``.
        """
        better = self.losses is None or self._exceeds(self.losses, losses)
        if better:
            self.step, self.parameters, self.losses, self.waited = step, parameters.clone(), losses.clone(), 0
        else:
            self.waited += 1
        return better

    def result(self, step: int, parameters: Tensor, losses: Tensor) -> tuple[int, Tensor]:
        """Return step and parameters of the result: the last ones, unless they are worse than the best.

        Arguments:
            step: Steps done.
            parameters: The last parameters.
            losses: Their validation loss of each held-out sample.
        """
        if self.parameters is not None and self.losses is not None and self._exceeds(losses, self.losses):
            return self.step, self.parameters
        return step, parameters

    def state(self) -> dict[str, Any]:
        """Return tensors and plain values from which it can be made again."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def _exceeds(self, losses: Tensor, others: Tensor) -> bool:
        difference = losses.double() - others.double()
        if not torch.isfinite(difference).all():
            return bool(torch.isfinite(others).all())  # what is not finite is worse than what is
        error = difference.std() / len(difference) ** 0.5
        return bool(difference.mean() > self.significance * error)
