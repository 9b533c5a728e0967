r"""The score of the stationary law, at every time.

.. math:: s(x, t) = \nabla \log \pi(x)

Exact once the process has relaxed, and from the start for one that starts in its stationary law. Before, its distance
from another reference says how far the process is from equilibrium or its steady state.

Source: Risken, The Fokker-Planck Equation (1989), section 6.
"""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from analysis.references.reference import Reference, scalar_time
from physcore.process import Process

__all__ = ["Equilibrium"]


@runtime_checkable
class StationaryDensity(Protocol):
    """A process that knows the density of its stationary law too."""

    def stationary_log_density(self, state: Tensor) -> Tensor:
        """Return the log density, shape ``(...)``, of states ``(..., component)``."""


class Equilibrium(Reference):
    """The stationary law of a process that knows it.

    Arguments:
        process: A process with a ``stationary_score``.

    Raises:
        NotImplementedError: If the process gives none.

    Error:
        Not known: how far the process has relaxed is not asked.

    Source: see the module.
    """

    def __init__(self, process: Process) -> None:
        process.stationary_score(torch.zeros(1, process.dimension, dtype=torch.float64))
        self.process = process

    def __repr__(self) -> str:
        return f"Equilibrium({self.process!r})"

    def score(self, state: Tensor, time: Tensor | float) -> Tensor:
        """Return the stationary score, shape and dtype of ``state``; see ``Reference.score``."""
        scalar_time(time)
        return self.process.stationary_score(state.double()).to(state.dtype)

    @property
    def has_density(self) -> bool:
        """Whether the process knows its stationary density; see ``Reference.has_density``."""
        return isinstance(self.process, StationaryDensity)

    def log_density(self, state: Tensor, time: Tensor | float) -> Tensor:
        """Return the stationary log density, dtype of ``state``; see ``Reference.log_density``."""
        scalar_time(time)
        if not isinstance(self.process, StationaryDensity):
            return super().log_density(state, time)
        return self.process.stationary_log_density(state.double()).to(state.dtype)
