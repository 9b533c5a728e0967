r"""Splitting schemes for underdamped Langevin dynamics.

.. math:: v \leftarrow v + \tfrac{h}{2m} F(x, t), \qquad (x, v) \leftarrow \Phi_h(x, v; \xi), \qquad
          v \leftarrow v + \tfrac{h}{2m} F(x, t + h)

A half kick by the force, the motion :math:`\Phi` of the free particle with friction and noise, another half kick. The
force at the end of a step is that at the start of the next; a pure step computes it twice.
"""

import abc

import torch
from torch import Tensor

from physcore.process import Process
from simulations.integrators.scheme import Scheme
from simulations.processes.langevin import Langevin

__all__ = ["LangevinSplitting"]

SAMPLES, SEED = 16, 0


class LangevinSplitting(Scheme):
    """A scheme that kicks a Langevin particle and lets it move freely in between; subclasses write the motion."""

    def check(self, process: Process, dt: float) -> None:
        """Refuse what is not a Langevin process, or one that moves otherwise than its parts say."""
        super().check(process, dt)
        inner = _langevin(process, type(self).__name__)
        state = process.sample_initial(SAMPLES, torch.Generator().manual_seed(SEED)).double()
        time = torch.zeros((), dtype=torch.float64)
        same_drift = torch.allclose(process.drift(state, time), Langevin.drift(inner, state, time), rtol=1e-9)
        if not same_drift or not torch.equal(process.noise(time), Langevin.noise(inner, time)):
            raise ValueError(
                f"{type(self).__name__} is made of `force`, `friction`, `temperature` and `mass`, and "
                f"{type(process).__name__} has another `drift` or `noise`. Use a general scheme, such as heun."
            )

    @abc.abstractmethod
    def free_motion(
        self, process: Langevin, position: Tensor, velocity: Tensor, dt: float, normals: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return positions and velocities after a step without force.

        Arguments:
            process: The process.
            position: Shape ``(..., position)``, [length].
            velocity: Shape of ``position``, [length / time].
            dt: Step, [time].
            normals: Standard normals, shape ``(..., normal)``.

        Returns:
            Positions and velocities, shapes of ``position``.
        """

    def step(self, process: Process, state: Tensor, time: Tensor, dt: float, normals: Tensor) -> Tensor:
        """Return the states one step later; see ``Scheme.step``."""
        inner = _langevin(process, type(self).__name__)
        n, half = inner.positions, dt / (2 * inner.mass)
        position = state[..., :n]
        velocity = torch.add(state[..., n:], inner.force(position, time), alpha=half)
        position, velocity = self.free_motion(inner, position, velocity, dt, normals)
        velocity = torch.add(velocity, inner.force(position, time + dt), alpha=half)
        return torch.cat([position, velocity], -1)


def _langevin(process: Process, scheme: str) -> Langevin:
    if not isinstance(process, Langevin):
        raise ValueError(
            f"{scheme} is made for Langevin processes, positions and velocities under a force; "
            f"got {type(process).__name__}. Use a general scheme, such as heun."
        )
    return process
