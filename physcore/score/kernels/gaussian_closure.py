r"""The kernel of the process with its moments closed by a Gaussian.

.. math:: \dot m = E f(X, t), \qquad \dot P = A P + P A^T + G G^T, \quad A = E \nabla f(X, t),
          \qquad X \sim N(m, P), \quad m(s) = y_s, \quad P(s) = 0

The drift is not frozen at the start, as the first-order kernel has it, but follows mean and spread. Expectations are
those of the :math:`2 d` points :math:`m \pm \sqrt d\, L e_k`, :math:`L L^T = P`, exact for cubic drifts.

The equations are solved by the classical Runge-Kutta scheme. It starts from the singular covariance as it is, since the
series in the lag of what noise builds up is the scheme's own to fourth order. A sample takes the more steps the faster
its drift varies, so stiff ones are neither unstable nor set the pace of all others.

Source: the closure: Särkkä and Sarmavuori, Gaussian filtering and smoothing for continuous-discrete dynamic systems
(2013), with the cubature rule of degree 3; as a kernel of local denoising score matching derived.
"""

import dataclasses
import functools
import math

import numpy as np
import torch
from torch import Tensor

from physcore.errors import NumericalError
from physcore.process import Process
from physcore.score.kernels.kernel import Kernel, Transitions
from physcore.score.transitions import DenseTransition, LocalTransition
from physcore.small_matrices import cholesky, multiply
from physcore.stepping import Stepper, Stepping, stepper_for
from physcore.streams import Streams

__all__ = ["GaussianClosure"]

FEWEST_STEPS, MOST_STEPS = 16, 8192
STEPS_PER_RATE = 6.0  # steps over the time in which the linearised drift acts once
CHECKED_COVARIANCE = 1e-3


@dataclasses.dataclass(frozen=True, kw_only=True)
class GaussianClosure(Kernel):
    """Mean and covariance of a Gaussian that follows the nonlinear drift.

    Error:
        On the active swimmer a lag of 0.5 has a smaller error than one of 0.3 of the first-order kernel. The equations
        are solved to 1e-4 of the kernel's own spread, root mean square over states, at lag 1 of the active swimmer.

    Source: see the module.
    """

    def of(self, process: Process) -> Transitions:
        """Return the kernel of a process; see ``Kernel.of``."""
        return _ClosureTransitions(process)


class _ClosureTransitions:
    """Transitions of one process, by a stepper for each precision and device."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._steppers: dict[tuple[torch.dtype, torch.device], Stepper] = {}

    def __call__(self, state: Tensor, time: Tensor, lag: Tensor) -> LocalTransition:
        d, device = self.process.dimension, state.device
        time, lag = (each.to(state.dtype).expand(len(state)) for each in (time, lag))
        steps = self._steps(state, time, lag)
        moments = state.new_zeros(_length(d) + 2, len(state))
        moments[:d], moments[-2], moments[-1] = state.T, time, lag / steps
        result = torch.empty_like(moments)
        for count in torch.unique(steps).tolist():
            chosen = torch.nonzero(steps == count).squeeze(-1)
            start = moments if len(chosen) == len(steps) else moments[:, chosen].contiguous()
            end = torch.empty(len(start), 1, start.shape[1], dtype=state.dtype, device=device)
            self._stepper(moments).advance(start, end, np.array([count], dtype=np.int64), 0, 0)
            result[:, chosen] = end[:, 0]
        mean, covariance = _unpacked(result[:-2], d)
        return DenseTransition(mean, cholesky(covariance))

    def _steps(self, state: Tensor, time: Tensor, lag: Tensor) -> Tensor:
        """Return how many steps each sample takes, a power of two."""
        sums = [self.process.jacobian(state, at).abs().sum(-1).amax(-1) for at in (time, time + lag)]
        wanted = STEPS_PER_RATE * torch.maximum(*sums) * lag
        if not bool((wanted <= MOST_STEPS).all()):
            raise NumericalError(
                f"lag times |J| reaches {float(wanted.max()) / STEPS_PER_RATE:.3g}, where |J| is the largest row sum "
                "of the drift's Jacobian: too stiff for the Gaussian closure. Use shorter lags or kernel local-linear."
            )
        return torch.exp2(torch.ceil(torch.log2(wanted.clamp(min=FEWEST_STEPS)))).long()

    def _stepper(self, moments: Tensor) -> Stepper:
        key = (moments.dtype, moments.device)
        if key not in self._steppers:
            stepping = Stepping(
                step=functools.partial(_step, self.process),
                components=len(moments),
                normals=0,
                dt=0.0,
                start=0.0,
                dtype=moments.dtype,
                three_point=False,
                streams=Streams(0, "closure"),
                device=moments.device,
            )
            d = self.process.dimension
            # The kernel is held against torch entry by entry: none may be zero but for rounding.
            checked = moments.clone()
            for i in range(d):
                place = d + i * (i + 1) // 2
                checked[place : place + i + 1] = CHECKED_COVARIANCE
                checked[place + i] *= 2
            self._steppers[key] = stepper_for(stepping, checked)
        return self._steppers[key]


def _length(dimension: int) -> int:
    return dimension + dimension * (dimension + 1) // 2


def _unpacked(moments: Tensor, dimension: int) -> tuple[Tensor, Tensor]:
    """Return means ``(d, batch)`` and covariances ``(d, d, batch)`` of means and lower triangles, row by row."""
    axes = range(dimension)
    places = [dimension + max(i, j) * (max(i, j) + 1) // 2 + min(i, j) for i in axes for j in axes]
    covariance = torch.stack([moments[place] for place in places])
    return moments[:dimension], covariance.reshape(dimension, dimension, -1)


def _step(process: Process, state: Tensor, _: Tensor, __: Tensor) -> Tensor:
    """Return packed moments, time and step, shape ``(batch, entry)``, one step of Runge and Kutta's later."""
    columns = state.T
    moments, time, step = columns[:-2], columns[-2], columns[-1]
    rates = functools.partial(_rates, process)
    first = rates(moments, time)
    second = rates(moments + 0.5 * step * first, time + 0.5 * step)
    third = rates(moments + 0.5 * step * second, time + 0.5 * step)
    last = rates(moments + step * third, time + step)
    moments = moments + step / 6 * (first + 2 * (second + third) + last)
    return torch.cat([moments, (time + step).unsqueeze(0), step.unsqueeze(0)]).T


def _rates(process: Process, moments: Tensor, time: Tensor) -> Tensor:
    """Return the rates of change of packed moments, shape ``(entry, batch)``, at times ``(batch,)``."""
    d = process.dimension
    mean, covariance = _unpacked(moments, d)
    spread = math.sqrt(d) * _semidefinite_factor(covariance)
    centre = mean.unsqueeze(1)
    points = torch.cat([centre + spread, centre - spread], 1).permute(2, 1, 0)
    times = time.unsqueeze(-1)
    drift = process.drift(points, times).mean(1).T
    growth = multiply(process.jacobian(points, times).mean(1).permute(1, 2, 0), covariance)
    noise = process.noise_for(mean.T, time)
    diffusion = noise @ noise.mT
    diffusion = diffusion.unsqueeze(-1) if diffusion.ndim == 2 else diffusion.permute(1, 2, 0)
    change = growth + growth.transpose(0, 1) + diffusion
    return torch.cat([drift, *(change[i, : i + 1] for i in range(d))])


def _semidefinite_factor(matrix: Tensor) -> Tensor:
    """Return lower factors of positive semidefinite matrices ``(d, d, batch)``; columns of zero pivots are zero."""
    d = matrix.shape[0]
    zero = torch.zeros_like(matrix[0, 0])
    rows: list[list[Tensor]] = []
    for i in range(d):
        row: list[Tensor] = []
        for j in range(i + 1):
            rest = matrix[i, j]
            for k in range(j):
                rest = rest - row[k] * (row if i == j else rows[j])[k]
            pivot = rest.clamp(min=0).sqrt() if i == j else rows[j][j]
            row.append(pivot if i == j else torch.where(pivot > 0, rest / torch.where(pivot > 0, pivot, 1.0), 0.0))
        rows.append(row)
    return torch.stack([torch.stack(row + [zero] * (d - len(row))) for row in rows])
