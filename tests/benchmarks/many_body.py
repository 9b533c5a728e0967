"""Many particles in the plane: physcore beside torchsde and LAMMPS, in nanoseconds per particle-step.

Run as ``python tests/benchmarks/many_body.py [section ...] [--rounds 5] [--quick]`` on a quiet machine, in an
environment with the extra ``bench``. Prints tables and writes ``many_body.json`` into the working directory.

- ``trapped``: 50 soft spheres in a trap, 100 systems. LAMMPS runs one system after another, in a harmonic trap that
  holds them in the same area, over all pairs or over those within 5.5 widths of the repulsion, where 3e-7 of it is
  left.
- ``active``: 4,096 active Brownian discs with harmonic repulsion in a periodic square, found by neighbour lists. The
  energy of the overlaps at the end shows whether the two simulate the same.

LAMMPS computes in float64.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from alternating_runs import Contestant, Row, alternate, options, summary, table, write
from many_body_peers import (
    Positions,
    active_by_lammps,
    by_physcore,
    by_torchsde,
    lammps_environment,
    trapped_by_lammps,
)
from scipy.spatial import cKDTree

PACKAGES = ("physcore", "torch", "numpy", "torchsde", "lammps")

TRAP = "simulations.processes.moving_trap:MovingTrap"
SPHERES = "simulations.processes.soft_spheres:SoftSpheres"
PARTICLES, SYSTEMS, DT = 50, 100, 1e-3
REPULSION, WIDTH, AREA, DIFFUSIVITY = 2.0, 0.5, 5.0, 0.25
DISCS = "simulations.processes.active_brownian_particles:ActiveBrownianParticles"
ACTIVE = {"particles": 4096, "packing_fraction": 0.5, "speed": 1.0, "rotational_diffusivity": 1.0, "stiffness": 20.0}
ACTIVE["diffusivity"] = 0.02
ACTIVE_DT, SKIN = 5e-3, 0.3
# Of a particle alone in the quartic trap: <x^2> = R / 2 sqrt(pi) with R^2 = AREA PARTICLES WIDTH^2; derived.
SPREAD = math.sqrt(AREA * PARTICLES * WIDTH**2 / math.pi) / 2


def spread(positions: Positions) -> Row:
    """Return the mean squared position in each direction."""
    return {"x_square": float((positions**2).mean())}


def trapped(less: int, rounds: int) -> list[Row]:
    """Time the soft spheres."""
    parameters = {
        "particles": PARTICLES,
        "repulsion": REPULSION,
        "range": WIDTH,
        "area_ratio": AREA,
        "diffusivity": DIFFUSIVITY,
        "amplitude": 0.0,
        "initial_width": math.sqrt(SPREAD),
    }
    ours, theirs, lammps = 2000 // less, 200 // less, 20_000 // less
    cast: list[tuple[str, Callable[..., Any], tuple[Any, ...], int]] = []
    for dtype in ("float32", "float64"):
        arguments = (SPHERES, parameters, SYSTEMS, ours, DT, dtype)
        cast.append((f"physcore {dtype}", by_physcore, arguments, SYSTEMS * ours))
    cast.append(("torchsde", by_torchsde, (SPHERES, parameters, SYSTEMS, theirs, DT), SYSTEMS * theirs))
    for name, cutoff in (("LAMMPS, all pairs", 60.0), ("LAMMPS, cutoff", 5.5 * WIDTH)):
        settings = (PARTICLES, REPULSION / PARTICLES, WIDTH, DIFFUSIVITY, SPREAD, cutoff, lammps, DT)
        cast.append((name, trapped_by_lammps, settings, lammps))
    return measured(cast, PARTICLES, spread, rounds)


def moving(less: int, rounds: int) -> list[Row]:
    """Time the particles in a moving trap that all repel each other linearly."""
    parameters, ours, theirs = {"particles": PARTICLES}, 20_000 // less, 200 // less
    cast: list[tuple[str, Callable[..., Any], tuple[Any, ...], int]] = [
        (f"physcore {dtype}", by_physcore, (TRAP, parameters, SYSTEMS, ours, DT, dtype), SYSTEMS * ours)
        for dtype in ("float32", "float64")
    ]
    cast.append(("torchsde", by_torchsde, (TRAP, parameters, SYSTEMS, theirs, DT), SYSTEMS * theirs))
    return measured(cast, PARTICLES, spread, rounds)


def measured(
    cast: list[tuple[str, Callable[..., Any], tuple[Any, ...], int]],
    particles: int,
    check: Callable[[Positions], Row],
    rounds: int,
) -> list[Row]:
    """Time the cast: names, functions, arguments, and steps of all systems."""
    contestants = [
        Contestant(
            name=name,
            prepare=prepare,
            arguments=arguments,
            units=particles * steps,
            environment=lammps_environment() if "lammps" in prepare.__name__ else {},
            check=check,
        )
        for name, prepare, arguments, steps in cast
    ]
    return summary(alternate(contestants, rounds), "particle_step")


def active(less: int, rounds: int) -> list[Row]:
    """Time the active discs, one system; a quarter of them for less than the whole work."""
    particles, steps = int(ACTIVE["particles"]) // (4 if less > 1 else 1), 1000 // less
    parameters = {**ACTIVE, "particles": particles}
    box = math.sqrt(particles * math.pi / (4 * ACTIVE["packing_fraction"]))
    names = ("stiffness", "speed", "diffusivity", "rotational_diffusivity")
    stiffness, speed, diffusivity, rotation = (ACTIVE[name] for name in names)
    cast: list[tuple[str, Callable[..., Any], tuple[Any, ...], int]] = [
        (f"physcore {dtype}", by_physcore, (DISCS, parameters, 1, steps, ACTIVE_DT, dtype), steps)
        for dtype in ("float32", "float64")
    ]
    arguments = (particles, box, stiffness, 1.0, speed, diffusivity, rotation, steps, ACTIVE_DT, SKIN)
    cast.append(("LAMMPS", active_by_lammps, arguments, steps))
    return measured(cast, particles, functools.partial(overlap_energy, box, stiffness, 1.0), rounds)


def overlap_energy(box: float, stiffness: float, diameter: float, positions: Positions) -> Row:
    """Return the energy of the overlaps per particle, its standard error, and the overlaps per particle."""
    values, pairs = [], 0
    for system in positions:
        folded = system % box
        near = cKDTree(folded, boxsize=box).query_pairs(diameter, output_type="ndarray")
        apart = folded[near[:, 0]] - folded[near[:, 1]]
        apart -= box * np.round(apart / box)
        each = 0.5 * stiffness * (diameter - np.linalg.norm(apart, axis=1)) ** 2
        values.append(np.bincount(near[:, 0], each, len(folded)))
        pairs += len(near)
    energy = np.concatenate(values)
    error = float(energy.std() / math.sqrt(len(energy)))
    return {"energy": float(energy.mean()), "energy_error": error, "overlaps": pairs / len(energy)}


def main() -> None:
    """Run the chosen sections."""
    sections: dict[str, tuple[str, Callable[[int, int], list[Row]]]] = {
        "moving": ("50 particles in a moving trap, 100 systems", moving),
        "trapped": ("50 soft spheres in a trap, 100 systems", trapped),
        "active": ("4,096 active discs, neighbour lists", active),
    }
    chosen = options(__doc__ or "", list(sections))
    report: dict[str, Any] = {}
    for name in chosen.sections:
        title, measure = sections[name]
        report[name] = measure(10 if chosen.quick else 1, chosen.rounds)
        table(title, report[name])
    write("many_body", report, PACKAGES)


if __name__ == "__main__":
    main()
