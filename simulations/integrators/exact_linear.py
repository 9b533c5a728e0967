r"""Exact sampling of linear processes.

.. math:: dX = (A X + b)\,dt + G\,dW, \qquad
          X_{k+1} = e^{A h} X_k + h \varphi_1(h A)\,b + L\,\xi_k, \qquad
          L L^T = \int_0^h e^{A u} G G^T e^{A^T u}\,du

The three constants are computed once in float64 for a process and a step; :math:`L` is a Cholesky factor, with a column
of zeros for every direction that the noise does not reach.
"""

import dataclasses
import math
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from physcore.linear_flow import linear_flow
from physcore.process import Process
from simulations.integrators.matrix_action import act
from simulations.integrators.scheme import Scheme

__all__ = ["ExactLinear"]

SAMPLES, SEED = 64, 0
TIMES = (0.0, 0.3719, 1.8637, 11.2953)
TOLERANCE = 1e-9  # of the drift, relative
SMALLEST_PIVOT = 1e-13  # of a unit variance

Rows = list[list[float]]


@dataclasses.dataclass(frozen=True)
class _Transition:
    """The law of a step: change of the mean, ``shift x + displacement``, and root of the covariance."""

    process: Process
    dt: float
    shift: Rows
    displacement: list[float]
    factor: Rows


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExactLinear(Scheme):
    """Exact transitions, for a drift linear in the state and a noise, both constant in time.

    The law at the steps is that of the process for every step, however long. A normal for each component is taken.

    Error:
        None but rounding: the states at the steps are those of an exact path. Which path it is depends on the step, so
        the strong order is infinite in this sense alone.

    Source:
        Gillespie, Exact numerical simulation of the Ornstein-Uhlenbeck process and its integral (1996), for one
        dimension; Gardiner, Handbook of Stochastic Methods (2004), section 4.4.6, for any.
    """

    strong_order: ClassVar[float] = math.inf
    weak_order: ClassVar[float] = math.inf
    noise_type: ClassVar[str] = "additive"

    # The last transition, kept because a step is asked for the same one again and again.
    _last: list[_Transition] = dataclasses.field(init=False, repr=False, compare=False, default_factory=list)

    def check(self, process: Process, dt: float) -> None:
        """Refuse a drift that is not linear in the state, or depends on time, as the noise; see ``Scheme.check``."""
        super().check(process, dt)
        self._transition(process, dt)

    def normals(self, process: Process) -> int:
        """Return one normal for each component."""
        return process.dimension

    def step(self, process: Process, state: Tensor, time: Tensor, dt: float, normals: Tensor) -> Tensor:
        """Return the states one step later; see ``Scheme.step``."""
        law = self._transition(process, dt)
        shift, displacement, factor = (
            torch.tensor(entries, dtype=state.dtype, device=state.device)
            for entries in (law.shift, law.displacement, law.factor)
        )
        return state + (act(shift, state) + displacement + act(factor, normals))

    def _transition(self, process: Process, dt: float) -> _Transition:
        if not (self._last and self._last[0].process is process and self._last[0].dt == dt):
            self._last[:] = [_transition(process, dt)]
        return self._last[0]


def _transition(process: Process, dt: float) -> _Transition:
    """Return the transition of a process over a step, after making sure that it is linear and constant."""
    origin, start = torch.zeros(process.dimension, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    force, noise = process.drift(origin, start), process.noise(start).double()
    # Differences over a unit distance are exact for a linear drift, and what is not linear is found out below.
    matrix = (process.drift(torch.eye(process.dimension, dtype=torch.float64), start) - force).mT
    generator = torch.Generator().manual_seed(SEED)
    near = process.sample_initial(SAMPLES, generator).double()
    states = torch.cat([near, 10 * torch.randn(near.shape, generator=generator, dtype=torch.float64)])
    linear = states @ matrix.mT + force
    size = states.abs() @ matrix.abs().mT + force.abs() + (noise * noise).sum(-1).sqrt()
    for time in torch.tensor(TIMES, dtype=torch.float64):
        excess = ((process.drift(states, time) - linear).abs() / size.clamp(min=1e-300)).amax(-1)
        if not bool((excess <= TOLERANCE).all()):
            where = states[int(excess.nan_to_num(math.inf).argmax())].tolist()
            raise ValueError(
                f"ExactLinear needs a drift linear in the state and constant in time; that of {type(process).__name__} "
                f"departs from the linear one through its values about the origin at time 0, at the state "
                f"{[round(entry, 3) for entry in where]} and time {float(time):g}. Use a general scheme, such as heun."
            )
        if not torch.equal(process.noise(time).double().expand_as(noise), noise):
            raise ValueError(
                f"ExactLinear needs a noise constant in time; that of {type(process).__name__} has changed by the time "
                f"{float(time):g}. Use a general scheme, such as heun."
            )
    flow = linear_flow(
        matrix.unsqueeze(-1), force.unsqueeze(-1), (noise @ noise.mT).unsqueeze(-1), start.new_full((1,), dt)
    )
    shift = flow.propagator[..., 0] - torch.eye(process.dimension, dtype=torch.float64)
    factor = _root(flow.covariance[..., 0].numpy())
    return _Transition(process, dt, shift.tolist(), flow.displacement[:, 0].tolist(), factor.tolist())


def _root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a lower triangular root of a covariance that may be singular, by Cholesky's method on unit variances."""
    width = np.sqrt(covariance.diagonal())
    scale = np.where(width > 0, width, 1.0)
    rest = covariance / np.outer(scale, scale)
    factor = np.zeros_like(rest)
    for j in range(len(rest)):
        if rest[j, j] > SMALLEST_PIVOT:
            factor[j:, j] = rest[j:, j] / math.sqrt(rest[j, j])
            rest = rest - np.outer(factor[:, j], factor[:, j])
    root: NDArray[np.float64] = factor * scale[:, None]
    return root
