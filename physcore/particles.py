r"""Processes of many particles: one physical variable stands for one component of the state for each particle.

The state is laid out variable by variable, :math:`(x_1, \dots, x_N, y_1, \dots, y_N, \dots)`, so that it reshapes to
(variable, particle) without a copy.
"""

import dataclasses
import functools
from typing import Protocol, runtime_checkable

from physcore.process import Process, Variable

__all__ = ["StoredVariable", "particle_components", "stored_variables"]


@runtime_checkable
class ManyParticles(Protocol):
    """A process that declares its particles; its ``variables`` are their ``particle_components``.

    Attributes:
        particles: Number of particles.
        particle_variables: Variables of one particle, in the order of the blocks of the state.
    """

    particles: int
    particle_variables: tuple[Variable, ...]


@dataclasses.dataclass(frozen=True)
class StoredVariable:
    """A variable as it stands in a Dataset.

    Arguments:
        variable: Name, units and description.
        components: The components of the state that it holds.
        dimensions: Its dimensions in a Dataset.
    """

    variable: Variable
    components: slice
    dimensions: tuple[str, ...]


@functools.lru_cache(maxsize=64)
def particle_components(variables: tuple[Variable, ...], particles: int) -> tuple[Variable, ...]:
    """Return the components of a state of many particles: ``x0``, ``x1``, ..., then ``y0``, ``y1``, ...

    Arguments:
        variables: Variables of one particle.
        particles: Number of particles.

    Returns:
        One variable for each component, variable by variable.
    """
    return tuple(
        Variable(
            f"{variable.name}{i}",
            units=variable.units,
            long_name=f"{variable.long_name or variable.name} of particle {i}",
            symbol=f"{variable.symbol or variable.name}_{{{i}}}",
            parity=variable.parity,
        )
        for variable in variables
        for i in range(particles)
    )


def stored_variables(process: Process) -> list[StoredVariable]:
    """Return the variables that a Dataset of a process holds, with the components of the state in each.

    Arguments:
        process: The process, of many particles or not.

    Raises:
        ValueError: If a process of many particles has another number of components than its particles have.
    """
    if not isinstance(process, ManyParticles):
        return [
            StoredVariable(variable, slice(i, i + 1), ("path", "time")) for i, variable in enumerate(process.variables)
        ]
    particles, variables = process.particles, process.particle_variables
    if process.dimension != particles * len(variables):
        raise ValueError(
            f"{type(process).__name__} must have {len(variables)} components for each of its {particles} particles; "
            f"it has {process.dimension}. Build `variables` with `particle_components`."
        )
    return [
        StoredVariable(variable, slice(i * particles, (i + 1) * particles), ("path", "time", "particle"))
        for i, variable in enumerate(variables)
    ]
