r"""What every process claims to know of itself, and how a simulation is held against it.

A claim is an expectation with its exact value: a known moment, an entry of the law of a solvable process, or an average
over a stated stationary density. With the mean :math:`\bar a` over independent paths and its standard error :math:`s`,

.. math:: z = (\bar a - E[a]) / s

has mean 0 and standard deviation 1. What is known in the stationary state alone is averaged along each path first,
after a time in which the slowest mode has died out; paths stay independent, and the standard error shrinks.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from physcore import KnownMoment, Process, SolvableProcess
from physcore.registry import build
from physcore.trajectory import frames
from simulations import Scheme, simulate

LogDensity = Callable[[Tensor], Tensor]

NODES = 801  # of the grid in each direction, on which averages over densities are exact to rounding
COARSENING = 4  # of the step, in the runs that measure the error of the scheme
DENSE = 1e-12  # part of the peak below which a density must have fallen at the edge of its grid


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A process with known answers and the simulation that they are compared with.

    Arguments:
        process: The process.
        wrong: Parameters of a process with other answers, which the simulation must tell from the right ones.
        dt: Step, fine enough for the error of the scheme to be far below the standard error.
        paths: Number of paths of a seed in the long validation.
        few_paths: Number of paths in the default suite, at the coarse step.
        scheme: Registered name of the scheme.
        times: Times at which answers known at all times are compared.
        window: Start, end and spacing of the frames over which stationary answers are averaged.
        density: Log density of the stationary law of a process up to a constant, in one or two dimensions.
        region: Lower and upper corner of a box outside which that law is negligible, or one period.
        chain: Whether a linear process is held against the law of the scheme's own chain.
    """

    process: Process
    wrong: dict[str, Any]
    dt: float
    paths: int = 16_384
    few_paths: int = 2048
    scheme: str = "heun"
    times: tuple[float, ...] = ()
    window: tuple[float, float, float] | None = None
    density: Callable[[Any], LogDensity] | None = None
    region: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    chain: bool = False

    @property
    def exact(self) -> bool:
        """Whether the answers are those of the scheme itself, whatever the step."""
        return self.chain or self.scheme == "exact-linear"

    @property
    def coarse(self) -> float:
        """The coarse step, in whose error that of the fine one can be read off; the same where there is none."""
        return self.dt if self.exact else COARSENING * self.dt

    @property
    def mistaken(self) -> Process:
        """The process with the wrong parameters."""
        return dataclasses.replace(self.process, **self.wrong)  # type: ignore[type-var]

    @property
    def frames(self) -> tuple[float, ...]:
        """Times of the frames in the window."""
        if self.window is None:
            return ()
        first, last, spacing = self.window
        return tuple(first + k * spacing for k in range(round((last - first) / spacing) + 1))

    @property
    def saved(self) -> list[float]:
        """Times of all frames."""
        return sorted({*self.times, *self.frames})

    def answers(self, process: Process, dt: float) -> list[KnownMoment]:
        """Return everything that is known of a process, of the chain with a step where the case asks for it."""
        if self.chain and isinstance(process, SolvableProcess):
            return law_moments(process, chain_law(process, self.scheme, dt, max(self.times)))
        answers = list(process.known_moments)
        if isinstance(process, SolvableProcess):
            answers += law_moments(process, exact_law(process))
        if self.density is not None and self.region is not None:
            answers += density_moments(process, self.density(process), *self.region)
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

    Of a periodic density, cosine and sine of twice the angle.
    """
    axes = [torch.linspace(a, b, NODES, dtype=torch.float64) for a, b in zip(lowest, highest, strict=True)]
    state = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    logarithm = log_density(state)
    peak = float(logarithm.max())
    weight = torch.exp(logarithm - peak)
    observables: dict[str, LogDensity] = {}
    if _periodic(weight):
        state, weight = state[:-1], weight[:-1]
        observables |= {"cos 2 x": lambda x: torch.cos(2 * x[..., 0]), "sin 2 x": lambda x: torch.sin(2 * x[..., 0])}
    else:
        for axis in range(len(axes)):
            edge = max(float(weight.select(axis, 0).max()), float(weight.select(axis, -1).max()))
            assert edge < DENSE, f"the density of {process} is still {edge:.1e} of its peak at the edge of the region"
        observables["log density"] = lambda x: log_density(x) - peak
        observables["squared log density"] = lambda x: (log_density(x) - peak).square()
        for i, j in itertools.combinations_with_replacement(range(len(axes)), 2):
            name = f"E {process.variables[i].name} {process.variables[j].name}"
            observables[name] = lambda x, i=i, j=j: x[..., i] * x[..., j]
    moments = []
    for name, observable in observables.items():
        value = float((weight * observable(state)).sum() / weight.sum())
        moments.append(KnownMoment(name, observable, lambda time, value=value: _in_the_end(time, value)))
    return moments


def _periodic(weight: Tensor) -> bool:
    return weight.ndim == 1 and float(weight[0]) > DENSE and math.isclose(float(weight[0]), float(weight[-1]))


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


def simulated(case: Case, *, seed: int, paths: int, dt: float) -> Tensor:
    """Return the states of a case at its saved times, shape ``(time, path, component)``."""
    run = simulate(
        case.process,
        paths=paths,
        duration=case.saved[-1],
        dt=dt,
        save_times=case.saved,
        scheme=case.scheme,
        dtype="float64",
        seed=seed,
    )
    return frames(case.process, run, torch.float64)


def results(case: Case, states: Tensor, answers: list[KnownMoment]) -> list[Result]:
    """Return what comes of every answer at every time; the time of a stationary one is infinite."""
    place = {time: k for k, time in enumerate(case.saved)}
    window = states[[place[time] for time in case.frames]]
    found = []
    for answer in answers:
        for time in case.times:
            exact = float(answer.expectation(torch.tensor(time, dtype=torch.float64)))
            if math.isfinite(exact):
                found.append(_result(answer.name, time, answer.observable(states[place[time]]), exact))
        if len(window) and math.isnan(float(answer.expectation(torch.tensor(case.saved[-1], dtype=torch.float64)))):
            exact = float(answer.expectation(torch.tensor(math.inf, dtype=torch.float64)))
            found.append(_result(answer.name, math.inf, answer.observable(window).mean(0), exact))
    return found


def _result(name: str, time: float, values: Tensor, exact: float) -> Result:
    assert values.ndim == 1, f"{name} must give one number for each state"
    return Result(name, time, float(values.mean()), float(values.std()) / math.sqrt(len(values)), exact)
