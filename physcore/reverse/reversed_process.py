r"""The reverse-time process: a process that runs back through the laws of another one.

.. math:: dY = \left[-f(Y, T - \tau) + \tfrac{1 + \lambda^2}{2}\,Q\,s(Y, T - \tau)\right] d\tau
          + \lambda\,G(T - \tau)\,dW, \qquad Q = G G^T

Started in the law of :math:`X_T`, :math:`Y_\tau` has the law of :math:`X_{T - \tau}` for every noise level
:math:`\lambda`; at :math:`\lambda = 1` its paths are those of :math:`X` seen backwards. It is a process like any other,
so that every scheme, stream of random numbers and run directory serves it.

Source: Anderson, Reverse-time diffusion equation models (1982); the family in the noise level: Karras, Aittala, Aila
and Laine, Elucidating the design space of diffusion-based generative models (2022), appendix B.
"""

import dataclasses
import math
from typing import Any, Protocol

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from physcore.diffusivity import Diffusivity, check_additive
from physcore.process import Process
from physcore.registry import name_of
from physcore.score.model import ScoreModel
from physcore.score.score_function import ScoreFunction
from physcore.variable import Variable

__all__ = ["ReversedProcess", "in_forward_time"]


class Law(Protocol):
    """A law to draw states from."""

    def sample(self, paths: int, generator: torch.Generator) -> Tensor:
        """Return independent states, shape ``(paths, component)``."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ReversedProcess(Process):
    r"""A process run backwards from a time, by its score. Its own time is :math:`\tau = T - t`.

    Arguments:
        process: The process :math:`X` to reverse.
        score: Anything with ``score(state, time)`` that holds the driven components.
        end: The time :math:`T` at which the reversal begins.
        final: Where it begins: a law with ``sample``, or states of :math:`X_T`, shape ``(path, component)``, which are
            drawn from with replacement.
        noise_level: :math:`\lambda`, positive.

    Raises:
        ValueError: If a setting is out of range, or a learned score does not hold what is needed.

    Error:
        The law at every time is as wrong as the score, the final states and the scheme make it. States drawn from a few
        carry the sampling error of those few.

    Source:
        Anderson, Reverse-time diffusion equation models (1982).
    """

    process: Process
    score: ScoreFunction
    end: float
    final: Law | Tensor
    noise_level: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.end):
            raise ValueError(f"`end` must be finite; got {self.end}.")
        if not (self.noise_level > 0 and math.isfinite(self.noise_level)):
            raise ValueError(
                f"`noise_level` must be positive and finite; got {self.noise_level}. Without noise use ProbabilityFlow."
            )
        if isinstance(self.final, Tensor):
            shape = tuple(self.final.shape)
            if len(shape) != 2 or shape[0] == 0 or shape[1] != self.process.dimension:
                raise ValueError(f"`final` must have shape (path, {self.process.dimension}); got {shape}.")
            if not torch.isfinite(self.final).all():
                raise ValueError("`final` holds states that are not finite.")
        check_score(self.process, self.score, self.end)

    @property
    def variables(self) -> tuple[Variable, ...]:  # type: ignore[override]
        """The variables of the process that is reversed."""
        return self.process.variables

    @property
    def time_units(self) -> str:  # type: ignore[override]
        """The units of time of the process that is reversed."""
        return self.process.time_units

    @property
    def parameters(self) -> dict[str, Any]:
        """What is reversed, from when, and how, as plain values."""
        process = type(self.process)
        return {
            "process": name_of(process) or process.__qualname__,
            "process_parameters": self.process.parameters,
            "end": self.end,
            "noise_level": self.noise_level,
        }

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the drift of the reversed process, shape of ``state``; see ``Process.drift``."""
        earlier = self.end - time
        # Without this the parameters of a network would tie every step to the ones before.
        with torch.set_grad_enabled(torch.is_grad_enabled() and state.requires_grad):
            pull = Diffusivity.of(self.process, earlier).apply(self.score.score(state, earlier).to(state))
            return (1 + self.noise_level**2) * pull - self.process.drift(state, earlier)

    def noise(self, time: Tensor) -> Tensor:
        """Return the noise matrix, that of the process at the earlier time; see ``Process.noise``."""
        return self.noise_level * self.process.noise(self.end - time)

    @property
    def noise_strengths(self) -> Tensor | None:
        """Strengths of constant noises on one component each, where the process gives them."""
        strengths = self.process.noise_strengths
        return None if strengths is None else self.noise_level * strengths

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        """Draw states of the end, shape ``(paths, component)``; see ``Process.sample_initial``."""
        if not isinstance(self.final, Tensor):
            return self.final.sample(paths, generator)
        return self.final[torch.randint(len(self.final), (paths,), generator=generator)]


def check_score(process: Process, score: ScoreFunction, *times: float) -> None:
    """Refuse general noise, what is no score, and a learned one that lacks driven components or was not trained then.

    Arguments:
        process: The process.
        score: The score.
        times: Times at which it is wanted.

    Raises:
        TypeError: If it has no method ``score``.
        ValueError: If it does not serve.
    """
    if not isinstance(score, ScoreFunction):
        raise TypeError(f"`score` must have a method score(state, time); {type(score).__name__} has none.")
    check_additive(process)
    if not isinstance(score, ScoreModel):
        return
    missing = [process.variables[i].name for i in process.driven if i not in score.components]
    if score.process.dimension != process.dimension or missing:
        raise ValueError(
            f"`score` must hold the driven components of {process!r}; it lacks {missing or 'all of them'}."
        )
    for time in times:
        if not score.trained_at(time):
            first, last = score.time_range
            raise ValueError(f"`score` was trained from {first:g} to {last:g}; it is wanted at {time:g}.")


def in_forward_time(trajectories: xr.Dataset, end: float) -> xr.Dataset:
    """Return trajectories of a reversed process with the times of the process that it reverses, increasing.

    Arguments:
        trajectories: Dataset with dimension ``time``.
        end: The time at which the reversal began.

    Returns:
        The same states at times ``end`` minus theirs.
    """
    times = end - np.asarray(trajectories["time"].values, dtype=np.float64)
    turned = trajectories.assign_coords(time=("time", times, trajectories["time"].attrs))
    return turned.isel(time=slice(None, None, -1))
