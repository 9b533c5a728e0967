"""The exact score of a solvable process."""

import torch
from torch import Tensor

from analysis.references.reference import Reference, scalar_time
from physcore.process import Process
from physcore.solvable import SolvableProcess

__all__ = ["Exact"]


class Exact(Reference):
    """The closed form of a process whose law is known.

    Arguments:
        process: A solvable process.

    Raises:
        TypeError: If the process gives no closed form.
    """

    def __init__(self, process: Process) -> None:
        if not isinstance(process, SolvableProcess):
            raise TypeError(
                f"the exact reference needs a SolvableProcess; {type(process).__name__} is none. "
                "In one to three dimensions use fokker-planck."
            )
        self.process = process

    def __repr__(self) -> str:
        return f"Exact({self.process!r})"

    def score(self, state: Tensor, time: Tensor | float) -> Tensor:
        """Return the exact score, shape and dtype of ``state``; see ``Reference.score``."""
        moment = torch.tensor(scalar_time(time), dtype=torch.float64, device=state.device)
        return self.process.score(state.double(), moment).to(state.dtype)

    def log_density(self, state: Tensor, time: Tensor | float) -> Tensor:
        """Return the exact log density, dtype of ``state``; see ``Reference.log_density``."""
        moment = torch.tensor(scalar_time(time), dtype=torch.float64, device=state.device)
        return self.process.log_density(state.double(), moment).to(state.dtype)

    def error_estimate(self, time: float) -> float:
        """Return 0: a closed form has no error of its own."""
        return 0.0
