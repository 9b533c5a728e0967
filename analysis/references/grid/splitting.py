r"""The composition of transport and noise steps over time.

.. math:: e^{\Delta t (A + B)} \approx e^{c_1 A \Delta t} e^{B \Delta t / 2} e^{c_2 A \Delta t}
    e^{B \Delta t / 2} e^{c_1 A \Delta t}, \qquad c_1 = \tfrac12 - \tfrac{\sqrt 3}{6}, \; c_2 = \tfrac{\sqrt 3}{3}

:math:`A` is the transport along the axes without noise, or with the least where all have some, :math:`B` all else:
noise :math:`D` and the transport along the other axes, :math:`e^{B \tau} = D(\tau/2)\,T(\tau)\,D(\tau/2)`. Those along
several axes follow each other as Strang has it, :math:`T_1(\tau/2)\,T_2(\tau)\,T_1(\tau/2)`. The two noise steps sit
at the points of Gauss's quadrature, so that what :math:`A` makes of noise comes out exactly to third order in the lag:
for noise in a velocity and :math:`A` the motion of the position, the variance of the position is
:math:`S \Delta t^3 / 3`, where Strang's single kick gives :math:`S \Delta t^3 / 4`. All coefficients are positive, as
diffusion demands. Time moves with :math:`A`; neighbouring :math:`A` steps are merged.

Error: :math:`O(\Delta t^2)` with :math:`[B, [B, A]]` and the commutators of transports along several axes alone,
:math:`O(\Delta t^4)` where they vanish.

Source: McLachlan, Composition methods in the presence of small parameters (1995), the (4, 2) method; Laskar and
Robutel, High order symplectic integrators for perturbed Hamiltonian systems (2001), SABA2. Its use for kinetic
noise is derived here.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch

from analysis.references.grid.cells import Array, Cells
from analysis.references.grid.characteristics import feet, idle_axes
from analysis.references.grid.diffusion import Operation, gaussian_kick
from analysis.references.grid.transport import Remap
from physcore.process import Process

__all__ = ["Propagator", "covariance_rate"]

OUTER = 0.5 - math.sqrt(3) / 6
INNER = math.sqrt(3) / 3
STILL = 1e-9  # cells
MOST_KEPT = 8  # operations kept for reuse; each may take a hundred bytes a cell


def covariance_rate(process: Process, time: float) -> Array:
    """Return :math:`G G^T`, shape ``(component, component)``."""
    noise = process.noise(torch.tensor(time, dtype=torch.float64)).double()
    rate: Array = (noise @ noise.mT).numpy()
    return rate


class Propagator:
    """Move a density on a fixed grid through time.

    Arguments:
        process: The process.
        cells: The grid.
        steady: Whether drift and noise do not depend on time, so that operations are built once.
    """

    def __init__(self, process: Process, cells: Cells, steady: bool) -> None:
        self.process = process
        self.cells = cells
        self.steady = steady
        self.outer_axes = outer_axes(process)
        self.inner_axes = tuple(axis for axis in range(cells.dimension) if axis not in self.outer_axes)
        self.built: dict[tuple[str, float], list[Operation]] = {}
        self.idle: dict[int, tuple[int, ...]] = {}

    def advance(self, mass: Array, start: float, duration: float, steps: int) -> Iterator[Array]:
        """Yield the probability of the cells after each step; only the last is complete.

        Arguments:
            mass: Probability of the cells.
            start: Time it belongs to.
            duration: Time to pass.
            steps: Number of equal steps.
        """
        step = duration / steps
        mass = self.apply("A", mass, start, OUTER * step)
        for k in range(steps):
            time = start + k * step
            mass = self.apply("B", mass, time + OUTER * step, step / 2)
            mass = self.apply("A", mass, time + OUTER * step, INNER * step)
            mass = self.apply("B", mass, time + (OUTER + INNER) * step, step / 2)
            merged = 1 if k == steps - 1 else 2
            mass = self.apply("A", mass, time + (OUTER + INNER) * step, merged * OUTER * step)
            yield mass

    def apply(self, part: str, mass: Array, time: float, duration: float) -> Array:
        """Return the probability after one part of a step."""
        key = (part, float(f"{duration:.11e}"))
        operations = self.built.get(key) if self.steady else None
        if operations is None:
            operations = self.outer(time, duration) if part == "A" else self.inner(time, duration)
            if self.steady:
                self.built[key] = operations
            if len(self.built) > MOST_KEPT:
                del self.built[next(iter(self.built))]
        for operation in operations:
            mass = operation(mass)
        return mass

    def outer(self, time: float, duration: float) -> list[Operation]:
        """Return the transport along the outer axes."""
        return self.transports(self.outer_axes, time, duration, frozen=False)

    def inner(self, time: float, duration: float) -> list[Operation]:
        """Return noise and transport along the other axes, with coefficients frozen at one time."""
        kick = gaussian_kick(covariance_rate(self.process, time) * duration / 2, self.cells)
        return [*kick, *self.transports(self.inner_axes, time, duration, frozen=True), *kick]

    def transports(self, axes: tuple[int, ...], time: float, duration: float, *, frozen: bool) -> list[Operation]:
        """Return the transport along some axes, composed symmetrically."""
        if not axes:
            return []
        if len(axes) == 1:
            return self.transport(axes[0], time, duration, frozen=frozen)
        first, rest = axes[0], axes[1:]
        middle = 0.0 if frozen else duration / 2
        return [
            *(before := self.transport(first, time, duration / 2, frozen=frozen)),
            *self.transports(rest, time, duration, frozen=frozen),
            *(before if frozen or self.steady else self.transport(first, time + middle, duration / 2, frozen=False)),
        ]

    def transport(self, axis: int, time: float, duration: float, *, frozen: bool) -> list[Operation]:
        """Return the transport along one axis, nothing where the drift along it vanishes."""
        if self.steady and axis not in self.idle:
            self.idle[axis] = idle_axes(self.process, self.cells, axis, (time,))
        idle = self.idle.get(axis)
        found = feet(self.process, self.cells, axis, time, duration, frozen=frozen, idle=idle)
        faces = np.arange(self.cells.counts[axis] + 1.0)
        if np.abs(found - faces.reshape(-1, *[1] * (self.cells.dimension - 1 - axis))).max() < STILL:
            return []
        return [Remap(found, axis, self.cells.counts, self.cells.periodic[axis])]


def outer_axes(process: Process) -> tuple[int, ...]:
    """Return the axes that carry no noise at time zero, or the one that carries the least where all do."""
    rates = np.diag(covariance_rate(process, 0.0))
    still = tuple(int(axis) for axis in np.nonzero(rates == 0)[0])
    return still or (int(np.argmin(rates)),)
