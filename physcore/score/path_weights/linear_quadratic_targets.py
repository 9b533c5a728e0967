r"""Targets along simulated paths by weights that solve a linear-quadratic control problem.

Shift each kick of the noise, :math:`G \Delta W`, by :math:`Q v\,\Delta u` with a control :math:`v` that knows the path
so far and no more. The path's state then moves by :math:`z`, column :math:`i` for column :math:`i` of :math:`v`,

.. math:: z \leftarrow D\Phi\, z, \qquad z \leftarrow z + Q v\,\Delta u, \qquad z = 0 \text{ at the start}, \qquad
          w \leftarrow w - v^T G\,\Delta W,

and :math:`E[z^T \nabla \varphi(X) + \varphi(X)\, w] = 0` for every function :math:`\varphi`. The path ends with one
short step of the linearised process, :math:`y \sim \hat q(\cdot \,|\, X)`, for which therefore

.. math:: \eta = \nabla_y \log \hat q(y \,|\, X) + z^T \nabla_X \log \hat q(y \,|\, X) + w

has :math:`E[\eta \,|\, y]` the score of the law of :math:`y`, whatever the control. What it decides is the noise. Least
of all has, for a linear process, the control that brings :math:`z` to where :math:`y` moves by the unit matrix at the
least cost :math:`\int v^T Q v\,du`:

.. math:: v(u) = P(t, u)^T S^{-1} \left(1 - P(t, r)\, z(r)\right), \qquad
          S = \int_r^t P(t, u)\, Q\, P(t, u)^T\,du ,

with the propagator :math:`P`; then :math:`\eta` is the exact score given the start. For others :math:`P` is that of the
linear maps that fit the drift best over a Gaussian carried from the path's own state at :math:`r`, and the problem is
solved again whenever a third of the time that is left has passed.

Source: Bismut, Large Deviations and the Malliavin Calculus (1984), for the weight of an adapted shift; Kwakernaak and
Sivan, Linear Optimal Control Systems (1972), for the control; the ending and the renewal are derived.
"""

import functools

import torch
from torch import Tensor

from physcore.process import Process
from physcore.score.linearization import LocalLinearization
from physcore.score.path_weights.column_stepper import ColumnStepper
from physcore.score.path_weights.drift_map import noise_columns, packed, slope_carried, tangent_map, unpacked
from physcore.score.path_weights.path_targets import PathTargets, Starts
from physcore.small_matrices import (
    cholesky_unchecked,
    multiply,
    solve_factored,
    solve_lower,
    solve_transposed_general,
)

__all__ = ["LinearQuadraticTargets"]

KEPT = 2 / 3  # of the steps left, after which the control is renewed


class LinearQuadraticTargets(PathTargets):
    """Paths of one process, one for each target.

    A path's columns are its state, :math:`z`, :math:`w`, :math:`v`, the Gaussian's mean and lower triangle of the
    covariance, time and step. A plan's are mean, covariance, :math:`P`, lower triangle of :math:`S`, time and step.

    Arguments:
        process: The process.
    """

    def __init__(self, process: Process) -> None:
        self.process = process
        self.linearization = LocalLinearization(process)
        self.stepper = ColumnStepper(functools.partial(_step, process), 2 * process.noises)
        self.planner = ColumnStepper(functools.partial(_plan_step, process), 0)

    def simulated(
        self, starts: Starts, steps: int, wanted: list[int], generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return states, targets and times; see ``PathTargets.simulated``. A path takes all its steps to its target."""
        d, state = self.process.dimension, starts.state.repeat(len(wanted), 1)
        start = starts.time.repeat(len(wanted))
        lag = torch.cat([starts.lag * (place / steps) for place in wanted])
        step, index = lag / steps, ColumnStepper.new_index(generator, state.device)
        rows = [state.T, state.new_zeros(d * d + d, len(state))]
        # The Gaussian is given the width of one step from the first on, or its factor would be singular.
        width = packed(self.linearization.moments(state, start, step)[1])
        control, time = None, start.unsqueeze(0)
        renewals = _renewals(steps - 1)
        for first, last in zip(renewals, [*renewals[1:], steps - 1], strict=True):
            control = self._control(rows, width, time, step, steps - 1 - first)
            columns = [*rows, control, rows[0], width, time, step.unsqueeze(0)]
            frame = self.stepper.frames(columns, [last], index, first)[:, 0]
            rows, time = [frame[:d], frame[d : 2 * d + d * d]], frame[-2:-1]
        at, target = self._ended(rows, time[0], step, generator)
        return at, target, start + lag

    def _control(self, rows: list[Tensor], width: Tensor, time: Tensor, step: Tensor, left: int) -> Tensor:
        """Return the control that is best from here on, shape ``(d * d, path)``."""
        d, paths = self.process.dimension, len(step)
        identity = torch.eye(d, dtype=step.dtype, device=step.device).unsqueeze(-1)
        plan = [rows[0], width, identity.flatten(0, 1), torch.zeros_like(width), time, step.unsqueeze(0)]
        end = self.planner.frames(plan, [left])[:, 0]
        cut = d + len(width)
        propagator, gramian = end[cut : cut + d * d].reshape(d, d, paths), unpacked(end[cut + d * d : -2], d)
        last = self.linearization.flow(end[:d].T, end[-2], step)
        propagator = multiply(last.propagator, propagator)
        gramian = _grown(last.propagator, gramian) + last.covariance
        away = identity - multiply(propagator, rows[1][: d * d].reshape(d, d, paths))
        factor = cholesky_unchecked(gramian)
        cost = torch.stack([solve_factored(factor, column) for column in away.unbind(1)], 1)
        control = multiply(propagator.transpose(0, 1), cost)
        # Any control is as unbiased: where there is none in this precision, the path goes without.
        return torch.where(torch.isfinite(control).all(0).all(0), control, 0.0).flatten(0, 1)

    def _ended(
        self, rows: list[Tensor], time: Tensor, step: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return states after the last step, of the linearised process, and their targets."""
        d, paths = self.process.dimension, len(step)
        noise = torch.randn((d, paths), generator=generator, dtype=step.dtype, device=step.device)
        shift, weight = rows[1][: d * d].reshape(d, d, paths), rows[1][d * d :]
        with torch.enable_grad():
            point = rows[0].T.contiguous().requires_grad_()
            transition = self.linearization.transition(point, time, step)
            # From the end point as it is drawn: a difference of states would lose the digits of so short a step.
            drawn = (transition.factor.detach() * noise.unsqueeze(0)).sum(1)
            white = solve_lower(transition.factor, drawn + (transition.mean.detach() - transition.mean))
            density = -0.5 * white.square().sum() - torch.diagonal(transition.factor).log().sum()
            slope = torch.autograd.grad(density, point)[0]
        target = transition.score(noise).detach() + ((shift * slope.T.unsqueeze(1)).sum(0) + weight).T
        return transition.state(noise).detach(), target


def _renewals(steps: int) -> list[int]:
    """Return the steps at which the control is renewed."""
    left = [steps]
    while left[-1] > 1:
        left.append(int(left[-1] * KEPT))
    return [steps - each for each in left]


def _diffusion(process: Process, state: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """Return :math:`G` and :math:`Q`, the batch last."""
    noise = noise_columns(process, state, time)
    return noise, (noise.unsqueeze(1) * noise.unsqueeze(0)).sum(2)


def _grown(slope: Tensor, covariance: Tensor) -> Tensor:
    return multiply(multiply(slope, covariance), slope.transpose(0, 1))


def _plan_step(process: Process, columns: Tensor, _: Tensor, _normals: Tensor) -> Tensor:
    """Return the columns ``(path, entry)`` of plans one step later."""
    d, rows = process.dimension, columns.T
    mean, time, step = columns[:, :d], columns[:, -2], columns[:, -1]
    triangle = d * (d + 1) // 2
    covariance, gramian = unpacked(rows[d : d + triangle], d), unpacked(rows[-2 - triangle : -2], d)
    propagator = rows[d + triangle : -2 - triangle].reshape(d, d, -1)
    before = _diffusion(process, mean, time)[1] * (0.5 * step)
    after = _diffusion(process, mean, time + step)[1] * (0.5 * step)
    mean, slope = slope_carried(process, mean, covariance + before, time, step)
    covariance, gramian = (_grown(slope, each + before) + after for each in (covariance, gramian))
    matrices = [packed(covariance), multiply(slope, propagator).flatten(0, 1), packed(gramian)]
    return torch.cat([mean.T, *matrices, (time + step).unsqueeze(0), step.unsqueeze(0)]).T


def _step(process: Process, columns: Tensor, _: Tensor, normals: Tensor) -> Tensor:
    """Return the columns ``(path, entry)`` of paths one step later."""
    d, n, rows = process.dimension, process.noises, columns.T
    time, step = columns[:, -2], columns[:, -1]
    half, square = 0.5 * step, d * d
    parts = torch.tensor_split(rows[:-2], (d, d + square, 2 * d + square, 2 * (d + square), 3 * d + 2 * square))
    state, shift, weight, control = parts[0], parts[1].reshape(d, d, -1), parts[2], parts[3].reshape(d, d, -1)
    mean, covariance = parts[4].T, unpacked(parts[5], d)

    def shaken(
        state: Tensor, shift: Tensor, weight: Tensor, time: Tensor, normals: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        noise, diffusion = _diffusion(process, columns, time)
        kick = (noise * (normals.T * half.sqrt()).unsqueeze(0)).sum(1)
        weight = weight - (control * kick.unsqueeze(1)).sum(0)
        spread = diffusion * half
        return state + kick, shift + multiply(spread, control), weight, spread

    state, shift, weight, spread = shaken(state, shift, weight, time, normals[:, :n])
    with torch.enable_grad():
        point = state.T.detach().requires_grad_()
        moved, jacobian = tangent_map(process, point, time, step, further=False)
    shift = multiply(jacobian.detach(), shift)
    mean, slope = slope_carried(process, mean, covariance + spread, time, step)
    covariance = _grown(slope, covariance + spread)
    control = torch.stack([solve_transposed_general(slope, column) for column in control.unbind(1)], 1)
    state, shift, weight, spread = shaken(moved.detach().T, shift, weight, time + step, normals[:, n:])
    kept = [state, shift.flatten(0, 1), weight, control.flatten(0, 1), mean.T, packed(covariance + spread)]
    return torch.cat([*kept, (time + step).unsqueeze(0), step.unsqueeze(0)]).T
