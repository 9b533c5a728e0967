"""The contract of a reference estimate of a score."""

import abc
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from physcore.communicator import Communicator, SerialCommunicator

__all__ = ["Reference"]


class Reference(abc.ABC):
    """A time-dependent score to compare with, from a closed form or from a computation of its own.

    Subclasses write ``score``. A reference that computes does its work in ``prepare`` for the times it will be
    asked for, and says in ``error_estimate`` how well it knows its own answer. Ranks that are given ask for the same,
    share the work or leave it to the first, and all know the same thereafter.
    """

    def prepare(self, times: Sequence[float], communicator: Communicator | None = None) -> None:
        """Do the work that scores at these times need; a closed form has none.

        Arguments:
            times: Times that will be asked for, increasing.
            communicator: Ranks that share the work; serial when None.
        """

    def prepare_from(self, file: Path, times: Sequence[float], communicator: Communicator | None = None) -> None:
        """Do the work for these times, or take it from a file where it was left before.

        Arguments:
            file: Where a reference that computes leaves its result; a closed form leaves none.
            times: Times that will be asked for, increasing.
            communicator: Ranks that share the work; serial when None.
        """
        self.prepare(times, communicator)

    def supporting_times(self, times: Sequence[float]) -> list[float] | None:
        """Return times to prepare for, so that the score can be had at all times between the first and the last.

        Arguments:
            times: Times of simulated frames, increasing.

        Returns:
            Times, increasing; None for a closed form, which answers at any time.
        """
        return None if type(self).prepare is Reference.prepare else list(times)

    @abc.abstractmethod
    def score(self, state: Tensor, time: Tensor | float) -> Tensor:
        """Return the score of the law at one time.

        Arguments:
            state: States, shape ``(..., component)``.
            time: One time, shape ``()``.

        Returns:
            Shape of ``state``, units 1 / [state]; NaN where the reference knows nothing.
        """

    @property
    def has_density(self) -> bool:
        """Whether it knows a log density, not the score alone."""
        return type(self).log_density is not Reference.log_density

    def log_density(self, state: Tensor, time: Tensor | float) -> Tensor:
        """Return the log density of the law at one time.

        Arguments:
            state: States, shape ``(..., component)``.
            time: One time, shape ``()``.

        Returns:
            Shape ``(...)``; NaN where ``score`` is.

        Raises:
            NotImplementedError: If the reference knows the score alone.
        """
        raise NotImplementedError(f"{type(self).__name__} knows the score alone, and no density.")

    def error_estimate(self, time: float) -> float | None:
        r"""Return the reference's own relative error, :math:`E|\delta s|^2 / E|s|^2`.

        Arguments:
            time: Time of the law.

        Returns:
            The estimate, 0 for a closed form, None where it cannot be known.
        """
        return None

    def error_estimates(self, times: Sequence[float], communicator: Communicator | None = None) -> list[float | None]:
        """Return the reference's own relative error at some times; see ``error_estimate``.

        Arguments:
            times: Times of the law.
            communicator: Ranks that share the times; serial when None. Every rank returns the same.
        """
        ranks = communicator or SerialCommunicator()
        return ranks.map(lambda which: self.error_estimate(times[which]), len(times))


def scalar_time(time: Tensor | float) -> float:
    """Return one time as a number, refusing a batch of them."""
    value = torch.as_tensor(time)
    if value.numel() != 1:
        raise ValueError(f"A reference answers for one time a call; got times of shape {tuple(value.shape)}.")
    return float(value)
