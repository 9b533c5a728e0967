"""The simulations by which the known answers of every process are checked."""

import importlib.util
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from simulations import (
    ActiveBrownianParticle,
    ActiveBrownianParticles,
    ActiveOrnsteinUhlenbeck,
    ActiveParticlesOnRing,
    ActiveSwimmer,
    AnharmonicPotential,
    BreathingParabola,
    DoubleWell,
    Duffing,
    InertialActiveOrnsteinUhlenbeck,
    Kuramoto,
    LogisticPrior,
    Lorenz63,
    Lorenz96,
    MexicanHat,
    MixturePrior,
    MovingTrap,
    MuellerBrown,
    NoisedSamples,
    OrnsteinUhlenbeck,
    OverdampedLangevin,
    SoftSpheres,
    StudentDiffusion,
    TiltedRing,
    UnderdampedLangevin,
    VanDerPol,
)

# Tests are no package: what they share is imported by its place.
_place = importlib.util.spec_from_file_location("known_answers", Path(__file__).with_name("known_answers.py"))
assert _place is not None
assert _place.loader is not None
known_answers = sys.modules.setdefault(_place.name, importlib.util.module_from_spec(_place))
_place.loader.exec_module(known_answers)
Case = known_answers.Case

ROTATING = OrnsteinUhlenbeck(
    drift_matrix=((-1.0, -1.0), (1.0, -1.0)), noise_matrix=((1.4, 0.0), (0.5, 0.8)), initial_mean=(1.0, -0.5)
)
SLOWER = {"drift_matrix": ((-0.8, -1.0), (1.0, -0.8))}
FIVE = ((0.0, 0.1), (1.0, 0.3), (-0.5, 2.0), (2.0, -1.0), (0.4, 0.4))
TRAPS = MovingTrap(particles=2)


def boltzmann(process: DoubleWell) -> Callable[[Tensor], Tensor]:
    """Return the log density of the Boltzmann law of the double well."""
    return lambda state: -process.potential(state) / process.temperature


def unforced(process: Duffing) -> Callable[[Tensor], Tensor]:
    """Return the log density of the Boltzmann law of the Duffing oscillator without forcing."""

    def log_density(state: Tensor) -> Tensor:
        energy = process.potential.energy(state[..., :1]) + 0.5 * process.mass * state[..., 1].square()
        return -energy / process.temperature

    return log_density


def confined(process: SoftSpheres) -> Callable[[Tensor], Tensor]:
    """Return the log density of the Boltzmann law of soft spheres in a trap at rest."""
    return lambda state: -process.energy(state) / process.diffusivity


def stationary(process: Any) -> Callable[[Tensor], Tensor]:
    """Return the stationary log density that a process gives."""
    return process.stationary_log_density  # type: ignore[no-any-return]


# The start of a window times the slowest rate that the answers see is 8 or more. Rates are those of the generator on a
# grid, or seen in simulations. Odd slow modes, hops between mirrored wells, have no part in even answers after an even
# initial law.
CASES = {
    "ornstein-uhlenbeck, chain": Case(
        process=ROTATING, wrong=SLOWER, scheme="euler-maruyama", dt=0.1, times=(0.1, 0.5, 1.0, 6.0), chain=True
    ),
    "ornstein-uhlenbeck, law": Case(
        process=ROTATING, wrong=SLOWER, scheme="exact-linear", dt=0.125, times=(0.5, 1.0, 6.0)
    ),
    "breathing-parabola, chain": Case(
        process=BreathingParabola(),
        wrong={"diffusivity": 1.3},
        scheme="euler-maruyama",
        dt=0.25,
        times=(0.25, 0.5, 3.0, 20.0),
        chain=True,
    ),
    "breathing-parabola, law": Case(
        process=BreathingParabola(), wrong={"diffusivity": 1.3}, dt=0.0125, times=(0.5, 3.0, 20.0)
    ),
    "moving-trap, chain": Case(
        process=TRAPS,
        wrong={"repulsion": 0.3},
        scheme="euler-maruyama",
        dt=0.1,
        times=(0.1, 0.7, 1.5, 10.0),
        chain=True,
    ),
    "moving-trap, law": Case(process=TRAPS, wrong={"repulsion": 0.3}, dt=0.005, times=(0.5, 1.5, 10.0)),
    "active-ornstein-uhlenbeck": Case(  # rate 1
        process=ActiveOrnsteinUhlenbeck(),
        wrong={"swim_variance": 1.3},
        scheme="exact-linear",
        dt=0.125,
        times=(0.5, 2.0, 10.0),
        window=(10.0, 20.0, 0.5),
    ),
    "active-ornstein-uhlenbeck, anharmonic": Case(
        process=ActiveOrnsteinUhlenbeck(potential=AnharmonicPotential(anharmonicity=0.5)),
        wrong={"diffusivity": 0.15},
        dt=0.005,
        times=(1.0, 10.0),
        window=(10.0, 14.0, 0.2),
    ),
    "inertial-active-ornstein-uhlenbeck": Case(  # slowest rate 1 / 2
        process=InertialActiveOrnsteinUhlenbeck(),
        wrong={"temperature": 0.65},
        scheme="exact-linear",
        dt=0.125,
        times=(0.5, 2.0, 20.0),
        window=(20.0, 30.0, 0.5),
    ),
    "active-swimmer": Case(
        process=ActiveSwimmer(temperature=2.0), wrong={"temperature": 2.6}, dt=0.0125, times=(1.0, 5.0, 20.0)
    ),
    "active-brownian-particle": Case(
        process=ActiveBrownianParticle(), wrong={"speed": 3.3}, dt=0.02, times=(0.4, 2.0, 8.0, 48.0)
    ),
    "active-brownian-particle, free": Case(
        process=ActiveBrownianParticle(stiffness=0.0),
        wrong={"rotational_diffusivity": 0.2},
        scheme="sra1",
        dt=0.05,
        times=(0.4, 2.0, 20.0),
    ),
    "active-brownian-particles": Case(
        process=ActiveBrownianParticles(),
        wrong={"speed": 1.25},
        dt=0.0125,
        times=(0.5, 2.0, 5.0),
        paths=4096,
        few_paths=512,
    ),
    "active-particles-on-ring": Case(
        process=ActiveParticlesOnRing(), wrong={"speed": 0.3}, dt=0.05, times=(1.0, 5.0, 30.0)
    ),
    "kuramoto": Case(  # rate 0.8
        process=Kuramoto(frequency=0.3),
        wrong={"coupling": 2.3},
        dt=0.01,
        times=(1.0, 20.0),
        window=(20.0, 24.0, 0.4),
        paths=8192,
        few_paths=1024,
    ),
    "double-well": Case(  # even rate 4.1
        process=DoubleWell(),
        wrong={"temperature": 0.6},
        dt=0.00125,
        window=(2.0, 4.0, 0.1),
        density=boltzmann,
        region=((-2.9,), (2.9,)),
    ),
    "overdamped-langevin": Case(  # rate 1.7
        process=OverdampedLangevin(potential=AnharmonicPotential(dimension=2)),
        wrong={"temperature": 1.2},
        dt=0.0025,
        window=(5.0, 8.0, 0.1),
        density=stationary,
        region=((-3.8, -3.8), (3.8, 3.8)),
    ),
    "mexican-hat": Case(  # rate 0.69
        process=MexicanHat(),
        wrong={"temperature": 0.6},
        scheme="sra1",
        dt=0.00125,
        window=(12.0, 15.0, 0.1),
        density=stationary,
        region=((-2.8, -2.8), (2.8, 2.8)),
    ),
    "mueller-brown": Case(  # rate 0.23
        process=MuellerBrown(),
        wrong={"temperature": 1.2},
        dt=5e-4,
        window=(36.0, 38.0, 0.05),
        density=stationary,
        region=((-4.0, -2.5), (2.5, 4.5)),
        paths=2048,
        few_paths=512,
    ),
    "student-diffusion": Case(  # tails beyond sqrt(4 t) are missing, 1e-5 of the virial
        process=StudentDiffusion(),
        wrong={"scale": 1.3},
        dt=0.0125,
        window=(20.0, 30.0, 0.5),
    ),
    "tilted-ring": Case(  # rate 0.75
        process=TiltedRing(),
        wrong={"torque": 0.7},
        dt=0.0125,
        window=(11.0, 15.0, 0.2),
        density=stationary,
        region=((0.0,), (2 * math.pi,)),
    ),
    "underdamped-langevin": Case(  # even rate 1.7, the odd ones 0.11 and 0.97
        process=UnderdampedLangevin(),
        wrong={"temperature": 0.6},
        scheme="baoab",
        dt=0.0125,
        window=(8.0, 12.0, 0.4),
        density=stationary,
        region=((-2.9, -6.0), (2.9, 6.0)),
    ),
    "duffing": Case(  # even rate 0.24, the odd one 0.035
        process=Duffing(forcing=0.0),
        wrong={"temperature": 0.12},
        scheme="langevin-impulse",
        dt=0.025,
        window=(40.0, 44.0, 0.4),
        density=unforced,
        region=((-2.8, -2.8), (2.8, 2.8)),
    ),
    "van-der-pol": Case(  # even rate 0.07, of the phase
        process=VanDerPol(),
        wrong={"diffusivity": 0.2},
        dt=0.005,
        window=(120.0, 140.0, 0.1),
        paths=8192,
        few_paths=1024,
    ),
    "logistic-prior": Case(  # rate 0.52 of the clock, which stands at 20 at time 2
        process=LogisticPrior(),
        wrong={"prior_scale": 0.55},
        dt=5e-4,
        window=(2.0, 2.5, 0.02),
        density=stationary,
        region=((-16.0, -16.0), (16.0, 16.0)),
        paths=8192,
        few_paths=1024,
    ),
    "mixture-prior": Case(  # even rate 0.89 of the clock
        process=MixturePrior(),
        wrong={"prior_width": 0.9},
        dt=5e-4,
        window=(2.0, 2.5, 0.02),
        density=stationary,
        region=((-9.0, -9.0), (9.0, 9.0)),
        paths=8192,
        few_paths=1024,
    ),
    "noised-samples": Case(  # rate of the squares 2.1 at the end
        process=NoisedSamples(samples=FIVE, beta_start=0.1, beta_end=4.0),
        wrong={"samples": tuple((1.2 * x, y + 0.3) for x, y in FIVE)},
        dt=5e-3,
        times=(0.5, 1.0),
    ),
    "soft-spheres": Case(  # even rate of one alone 0.8, the repulsion adds to it
        process=SoftSpheres(amplitude=0.0),
        wrong={"diffusivity": 0.35},
        dt=0.01,
        window=(12.0, 16.0, 0.2),
        paths=4096,
        few_paths=512,
    ),
    "soft-spheres, one": Case(  # even rate 1.8
        process=SoftSpheres(amplitude=0.0, particles=1),
        wrong={"area_ratio": 6.0},
        dt=0.005,
        window=(12.0, 16.0, 0.2),
        density=confined,
        region=((-3.5, -3.5), (3.5, 3.5)),
    ),
    # Chaos with noise forgets its start within a few units of time.
    "lorenz63": Case(
        process=Lorenz63(),
        wrong={"noise_strength": 3.0},
        dt=5e-4,
        window=(30.0, 60.0, 0.1),
        paths=4096,
        few_paths=512,
    ),
    "lorenz96": Case(
        process=Lorenz96(),
        wrong={"noise_strength": 1.5},
        dt=0.0025,
        window=(20.0, 30.0, 0.1),
        paths=1024,
        few_paths=128,
    ),
}
