"""Processes whose law at any time is known in closed form."""

import abc

from torch import Tensor

from physcore.law import Gaussian
from physcore.process import Process

__all__ = ["SolvableProcess"]


class SolvableProcess(Process):
    """A process with a known Gaussian law at every time: mean, covariance, density and score.

    Subclasses write ``law``; the rest follows. They are what everything else is tested against. One that knows its law
    given an earlier state writes ``transition`` too; linear drifts constant in time need none, theirs is computed.
    """

    @abc.abstractmethod
    def law(self, time: Tensor) -> Gaussian:
        """Return the exact law of the state.

        Arguments:
            time: Times since the start, shape ``(...)``.

        Returns:
            Law with mean of shape ``(..., component)``.
        """

    def transition(self, state: Tensor, start: Tensor, time: Tensor) -> Gaussian:
        """Return the exact law of the state given an earlier one.

        Arguments:
            state: Earlier states, shape ``(..., component)``, float64.
            start: Their times, shape ``(...)``.
            time: Later times, shape ``(...)``.

        Returns:
            Laws with means of shape ``(..., component)``.

        Raises:
            NotImplementedError: If the process does not give it.
        """
        raise NotImplementedError(f"{type(self).__name__} gives no `transition`.")

    def mean(self, time: Tensor) -> Tensor:
        """Return the exact mean, shape ``(..., component)``, at times of shape ``(...)``."""
        return self.law(time).mean

    def covariance(self, time: Tensor) -> Tensor:
        """Return the exact covariance, shape ``(..., component, component)``, at times of shape ``(...)``."""
        return self.law(time).covariance

    def log_density(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the exact log density, shape ``(...)``, of states ``(..., component)`` at times ``(...)``."""
        return self.law(time).log_density(state)

    def score(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the exact score, shape ``(..., component)``, of states ``(..., component)`` at times ``(...)``."""
        return self.law(time).score(state)

    def initial_log_density(self, state: Tensor) -> Tensor:
        """Return the log density of the initial law, shape ``(...)``, of states ``(..., component)``."""
        return self.law(state.new_zeros(())).log_density(state)
