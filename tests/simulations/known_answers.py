r"""What every process claims to know of itself, and how a simulation is held against it.

A claim is an expectation with its exact value: a known moment, an entry of the law of a solvable process, or an average
over a stated stationary density. With the mean :math:`\bar a` over independent paths and its standard error :math:`s`,

.. math:: z = (\bar a - E[a]) / s

has mean 0 and standard deviation 1. What is known in the stationary state alone is averaged along each path first, after
a time in which the slowest mode has died out; paths stay independent, and the standard error shrinks.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from physcore import KnownMoment, Process, SolvableProcess
from physcore.registry import build
from physcore.trajectory import frames
from simulations import (
    ActiveBrownianParticle,
    ActiveBrownianParticles,
    ActiveOrnsteinUhlenbeck,
    ActiveParticlesOnRing,
    AnharmonicPotential,
    BreathingParabola,
    DoubleWell,
    Duffing,
    Kuramoto,
    LogisticPrior,
    Lorenz63,
    Lorenz96,
    MexicanHat,
    MixturePrior,
    MovingTrap,
    MuellerBrown,
    OrnsteinUhlenbeck,
    OverdampedLangevin,
    Scheme,
    SoftSpheres,
    TiltedRing,
    UnderdampedLangevin,
    VanDerPol,
    simulate,
)

LogDensity = Callable[[Tensor], Tensor]

NODES = 801  # of the grid in each direction, on which averages over densities are exact to rounding
COARSENING = 4  # of the step, in the runs that measure the error of the scheme
DENSE = 1e-12  # part of the peak below which a density must have fallen at the edge of its grid


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A process with known answers and the simulation that they are compared with.

    Arguments:
        process: The process.
        dt: Step, fine enough for the error of the scheme to be far below the standard error.
        paths: Number of paths of a seed in the long validation.
        few_paths: Number of paths in the default suite, at the coarse step.
        scheme: Registered name of the scheme.
        times: Times at which answers known at all times are compared.
        window: Start, end and spacing of the frames over which stationary answers are averaged.
        density: Log density of the stationary law up to a constant, in one or two dimensions.
        region: Lower and upper corner of a box outside which that law is negligible, or one period.
        chain: Whether a linear process is held against the law of the scheme's own chain.
    """

    process: Process
    dt: float
    paths: int = 16_384
    few_paths: int = 2048
    scheme: str = "heun"
    times: tuple[float, ...] = ()
    window: tuple[float, float, float] | None = None
    density: LogDensity | None = None
    region: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    chain: bool = False

    @property
    def frames(self) -> tuple[float, ...]:
        """Times of the frames in the window."""
        if self.window is None:
            return ()
        first, last, spacing = self.window
        return tuple(first + k * spacing for k in range(round((last - first) / spacing) + 1))

    def answers(self, dt: float) -> list[KnownMoment]:
        """Return everything that is known, of the chain with a step where the case asks for it."""
        if self.chain and isinstance(self.process, SolvableProcess):
            return law_moments(self.process, chain_law(self.process, self.scheme, dt, max(self.times)))
        answers = list(self.process.known_moments)
        if isinstance(self.process, SolvableProcess):
            answers += law_moments(self.process, exact_law(self.process))
        if self.density is not None and self.region is not None:
            answers += density_moments(self.process, self.density, *self.region)
        return answers


Law = Callable[[Tensor], tuple[Tensor, Tensor]]


def exact_law(process: SolvableProcess) -> Law:
    """Return mean and covariance of a solvable process as functions of time."""
    return lambda time: (process.mean(time), process.covariance(time))


def chain_law(process: SolvableProcess, name: str, dt: float, last: float) -> Law:
    r"""Return mean and covariance of the chain that a scheme makes of a linear process.

    A step is affine, :math:`x \mapsto M_k x + c_k + L_k \xi`, and is read off by applying it to unit vectors.
    """
    scheme: Scheme = build("physcore.schemes", name, {})
    d, noises = process.dimension, scheme.normals(process)
    states = torch.cat([torch.zeros(1, d), torch.eye(d), torch.zeros(noises, d)]).double()
    normals = torch.cat([torch.zeros(1 + d, noises), torch.eye(noises)]).double()
    start = process.law(torch.zeros(()))
    laws = [(start.mean, start.covariance)]
    for k in range(round(last / dt)):
        moved = scheme.step(process, states, torch.tensor(k * dt, dtype=torch.float64), dt, normals)
        propagator, noise = (moved[1 : 1 + d] - moved[0]).mT, (moved[1 + d :] - moved[0]).mT
        mean, covariance = laws[-1]
        laws.append((propagator @ mean + moved[0], propagator @ covariance @ propagator.mT + noise @ noise.mT))
    return lambda time: laws[round(float(time) / dt)]


def law_moments(process: SolvableProcess, law: Law) -> list[KnownMoment]:
    """Return means and second moments of the components as known moments."""
    names = [variable.name for variable in process.variables]

    def mean(i: int) -> KnownMoment:
        return KnownMoment(f"E {names[i]}", lambda state: state[..., i], lambda time: law(time)[0][i])

    def product(i: int, j: int) -> KnownMoment:
        def expectation(time: Tensor) -> Tensor:
            centre, covariance = law(time)
            return covariance[i, j] + centre[i] * centre[j]

        return KnownMoment(f"E {names[i]} {names[j]}", lambda state: state[..., i] * state[..., j], expectation)

    pairs = itertools.combinations_with_replacement(range(len(names)), 2)
    return [*(mean(i) for i in range(len(names))), *(product(i, j) for i, j in pairs)]


def density_moments(
    process: Process, log_density: LogDensity, lowest: tuple[float, ...], highest: tuple[float, ...]
) -> list[KnownMoment]:
    """Return averages over a stationary density by quadrature: second moments, the log density and its square.

    Of a periodic density cosine and sine of twice the angle take the place of the second moments.
    """
    axes = [torch.linspace(a, b, NODES, dtype=torch.float64) for a, b in zip(lowest, highest, strict=True)]
    state = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    logarithm = log_density(state)
    peak = float(logarithm.max())
    weight = torch.exp(logarithm - peak)
    periodic = bool(torch.isclose(weight[0], weight[-1], rtol=1e-9).all()) and float(weight[0].max()) > DENSE
    if periodic:
        state, weight = state[:-1], weight[:-1]
    else:
        for axis in range(len(axes)):
            edge = max(float(weight.select(axis, 0).max()), float(weight.select(axis, -1).max()))
            assert edge < DENSE, f"the density of {process} is still {edge:.1e} of its peak at the edge of the region"
    observables: dict[str, LogDensity] = {
        "log density": lambda x: log_density(x) - peak,
        "squared log density": lambda x: (log_density(x) - peak).square(),
    }
    if periodic:
        observables |= {"cos 2 x": lambda x: torch.cos(2 * x[..., 0]), "sin 2 x": lambda x: torch.sin(2 * x[..., 0])}
    else:
        for i, j in itertools.combinations_with_replacement(range(len(axes)), 2):
            name = f"E {process.variables[i].name} {process.variables[j].name}"
            observables[name] = lambda x, i=i, j=j: x[..., i] * x[..., j]  # type: ignore[misc]
    moments = []
    for name, observable in observables.items():
        value = float((weight * observable(state)).sum() / weight.sum())
        moments.append(KnownMoment(name, observable, lambda time, value=value: _in_the_end(time, value)))
    return moments


def _in_the_end(time: Tensor, value: float) -> Tensor:
    return torch.tensor(value if math.isinf(float(time)) else math.nan, dtype=torch.float64)


@dataclasses.dataclass(frozen=True)
class Result:
    """What one simulation says of one answer: sample mean, its standard error, exact value."""

    name: str
    time: float
    mean: float
    error: float
    exact: float

    @property
    def z(self) -> float:
        """Deviation in standard errors."""
        return (self.mean - self.exact) / self.error


def results(case: Case, *, seed: int, paths: int, dt: float) -> list[Result]:
    """Simulate a case once and return what comes of every answer; the time of a stationary one is infinite."""
    saved = sorted({*case.times, *case.frames})
    run = simulate(
        case.process,
        paths=paths,
        duration=saved[-1],
        dt=dt,
        save_times=saved,
        scheme=case.scheme,
        dtype="float64",
        seed=seed,
    )
    states = frames(case.process, run, torch.float64)
    place = {time: k for k, time in enumerate(saved)}
    window = states[[place[time] for time in case.frames]]
    found = []
    for answer in case.answers(dt):
        for time in case.times:
            exact = float(answer.expectation(torch.tensor(time, dtype=torch.float64)))
            if math.isfinite(exact):
                found.append(_result(answer.name, time, answer.observable(states[place[time]]), exact))
        if len(window) and math.isnan(float(answer.expectation(torch.tensor(saved[-1], dtype=torch.float64)))):
            exact = float(answer.expectation(torch.tensor(math.inf, dtype=torch.float64)))
            found.append(_result(answer.name, math.inf, answer.observable(window).mean(0), exact))
    return found


def _result(name: str, time: float, values: Tensor, exact: float) -> Result:
    assert values.ndim == 1, f"{name} must give one number for each state"
    return Result(name, time, float(values.mean()), float(values.std()) / math.sqrt(len(values)), exact)


ROTATING = OrnsteinUhlenbeck(
    drift_matrix=((-1.0, -1.0), (1.0, -1.0)), noise_matrix=((1.4, 0.0), (0.5, 0.8)), initial_mean=(1.0, -0.5)
)
TRAPS = MovingTrap(particles=3)
WELL, HAT, SLOPES, RING = DoubleWell(), MexicanHat(), MuellerBrown(), TiltedRing()
QUARTIC = OverdampedLangevin(potential=AnharmonicPotential(dimension=2))
INERTIAL, UNFORCED = UnderdampedLangevin(), Duffing(forcing=0.0)
LOGISTIC, MIXTURE = LogisticPrior(), MixturePrior()


def unforced_density(state: Tensor) -> Tensor:
    """Return the log density of the Boltzmann law of the Duffing oscillator without forcing."""
    energy = UNFORCED.potential.energy(state[..., :1]) + 0.5 * UNFORCED.mass * state[..., 1].square()
    return -energy / UNFORCED.temperature


# The slowest rate that the answers see, from the spectrum of the generator on a grid where no other source is named,
# times the start of the window is 8 or more. Odd slow modes, hops between mirrored wells, have no part in even answers.
CASES = {
    "ornstein-uhlenbeck, chain": Case(
        process=ROTATING, scheme="euler-maruyama", dt=0.1, times=(0.1, 0.5, 1.0, 6.0), chain=True
    ),
    "ornstein-uhlenbeck, law": Case(process=ROTATING, scheme="exact-linear", dt=0.125, times=(0.5, 1.0, 6.0)),
    "breathing-parabola, chain": Case(
        process=BreathingParabola(), scheme="euler-maruyama", dt=0.1, times=(0.1, 0.5, 3.0, 20.0), chain=True
    ),
    "breathing-parabola, law": Case(process=BreathingParabola(), dt=0.0125, times=(0.5, 3.0, 20.0)),
    "moving-trap, chain": Case(process=TRAPS, scheme="euler-maruyama", dt=0.1, times=(0.1, 0.7, 1.5, 10.0), chain=True),
    "moving-trap, law": Case(process=TRAPS, dt=0.005, times=(0.5, 1.5, 10.0)),
    "active-ornstein-uhlenbeck": Case(  # rate 1
        process=ActiveOrnsteinUhlenbeck(),
        scheme="exact-linear",
        dt=0.125,
        times=(0.5, 2.0, 10.0),
        window=(10.0, 20.0, 0.5),
    ),
    "active-ornstein-uhlenbeck, anharmonic": Case(
        process=ActiveOrnsteinUhlenbeck(potential=AnharmonicPotential(anharmonicity=0.5)),
        dt=0.005,
        times=(1.0, 10.0),
        window=(10.0, 14.0, 0.2),
    ),
    "active-brownian-particle": Case(process=ActiveBrownianParticle(), dt=0.02, times=(0.4, 2.0, 8.0, 48.0)),
    "active-brownian-particle, free": Case(
        process=ActiveBrownianParticle(stiffness=0.0), scheme="sra1", dt=0.05, times=(0.4, 2.0, 20.0)
    ),
    "active-brownian-particles": Case(
        process=ActiveBrownianParticles(), dt=0.0125, times=(0.5, 2.0, 5.0), paths=2048, few_paths=512
    ),
    "active-particles-on-ring": Case(process=ActiveParticlesOnRing(), dt=0.05, times=(1.0, 5.0, 30.0), paths=8192),
    "kuramoto": Case(
        process=Kuramoto(frequency=0.3),
        dt=0.01,
        times=(1.0, 20.0),
        window=(20.0, 24.0, 0.4),
        paths=4096,
        few_paths=1024,
    ),
    "double-well": Case(  # even rate 4.1
        process=WELL,
        dt=0.0025,
        window=(2.0, 4.0, 0.1),
        density=lambda state: -WELL.potential(state) / WELL.temperature,
        region=((-2.6,), (2.6,)),
    ),
    "overdamped-langevin": Case(  # rate 1.7
        process=QUARTIC,
        dt=0.0025,
        window=(5.0, 8.0, 0.1),
        density=QUARTIC.stationary_log_density,
        region=((-3.6, -3.6), (3.6, 3.6)),
    ),
    "mexican-hat": Case(  # rate 0.69
        process=HAT,
        scheme="sra1",
        dt=0.0025,
        window=(12.0, 15.0, 0.1),
        density=HAT.stationary_log_density,
        region=((-2.6, -2.6), (2.6, 2.6)),
    ),
    "mueller-brown": Case(  # rate 0.226
        process=SLOPES,
        dt=5e-4,
        window=(36.0, 37.0, 0.02),
        density=SLOPES.stationary_log_density,
        region=((-2.2, -1.2), (1.8, 2.7)),
        paths=2048,
        few_paths=512,
    ),
    "tilted-ring": Case(  # rate 0.75
        process=RING,
        dt=0.0125,
        window=(11.0, 15.0, 0.2),
        density=RING.stationary_log_density,
        region=((0.0,), (2 * math.pi,)),
    ),
    "underdamped-langevin": Case(  # even rate 1.7, the odd ones 0.11 and 0.97
        process=INERTIAL,
        scheme="baoab",
        dt=0.02,
        window=(8.0, 12.0, 0.4),
        density=INERTIAL.stationary_log_density,
        region=((-2.6, -5.4), (2.6, 5.4)),
    ),
    "duffing": Case(  # even rate 0.24, the odd one 0.035
        process=UNFORCED,
        scheme="langevin-impulse",
        dt=0.025,
        window=(40.0, 44.0, 0.4),
        density=unforced_density,
        region=((-2.6, -2.5), (2.6, 2.5)),
    ),
    "van-der-pol": Case(process=VanDerPol(), dt=0.005, window=(100.0, 110.0, 0.1), paths=4096, few_paths=1024),
    "logistic-prior": Case(  # rate 0.52 of the clock, which stands at 20 at time 2
        process=LOGISTIC,
        dt=5e-4,
        window=(2.0, 2.5, 0.02),
        density=LOGISTIC.stationary_log_density,
        region=((-16.0, -16.0), (16.0, 16.0)),
        paths=4096,
        few_paths=1024,
    ),
    "mixture-prior": Case(  # even rate 0.89 of the clock
        process=MIXTURE,
        dt=5e-4,
        window=(2.0, 2.5, 0.02),
        density=MIXTURE.stationary_log_density,
        region=((-8.0, -8.0), (8.0, 8.0)),
        paths=4096,
        few_paths=1024,
    ),
    "soft-spheres": Case(
        process=SoftSpheres(amplitude=0.0), dt=0.01, window=(12.0, 16.0, 0.2), paths=4096, few_paths=512
    ),
    # Mixing of the attractor within a few units of time.
    "lorenz63": Case(process=Lorenz63(), dt=5e-4, window=(30.0, 50.0, 0.02), paths=1024, few_paths=512),
    "lorenz96": Case(process=Lorenz96(), dt=0.0025, window=(20.0, 30.0, 0.1), paths=512, few_paths=128),
}
