"""Processes on which objectives are compared, each with its reference and the settings of its fits."""

import dataclasses
from collections.abc import Callable

import torch
import xarray as xr
from torch import Tensor

from analysis import Exact, FokkerPlanck, Reference
from physcore import Process, Variable
from physcore.law import Gaussian
from physcore.mixture import GaussianMixture
from physcore.score import (
    DiffusionScoreMatching,
    Direct,
    EulerDenoising,
    ExactDenoising,
    GeneralizedSlicedScoreMatching,
    ImplicitScoreMatching,
    Local,
    LocalDenoising,
    MixtureDenoising,
    Objective,
    Parametrization,
    PathWeightedDenoising,
    SlicedScoreMatching,
)
from simulations import ActiveSwimmer, DoubleWell, MovingTrap, OrnsteinUhlenbeck, simulate

YARDSTICK = "implicit, hutchinson"

Contestant = tuple[Objective, Parametrization]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixtureLangevin(Process):
    """Langevin dynamics of a mixture of two Gaussians in one dimension, dx = (1/2) grad log pi dt + dW."""

    variables = (Variable("x"),)

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        return 0.5 * GaussianMixture(means=((-1.5,), (1.5,)), width=0.5).score(state)

    def noise(self, time: Tensor) -> Tensor:
        return torch.ones(1, 1, dtype=torch.float64)

    @property
    def initial_law(self) -> Gaussian:
        mean, covariance = torch.tensor([0.3], dtype=torch.float64), torch.tensor([[0.36]], dtype=torch.float64)
        return Gaussian(mean=mean, covariance=covariance)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        return self.initial_law.sample(paths, generator)

    def initial_log_density(self, state: Tensor) -> Tensor:
        return self.initial_law.log_density(state.double()).to(state.dtype)


def linear(dimension: int) -> OrnsteinUhlenbeck:
    """Return a stable linear process without detailed balance."""
    generator, identity = torch.Generator().manual_seed(0), torch.eye(dimension)
    drift, noise = (torch.randn(dimension, dimension, generator=generator) / dimension**0.5 for _ in range(2))
    return OrnsteinUhlenbeck(
        drift_matrix=(0.5 * drift - identity).tolist(), noise_matrix=(0.3 * noise + identity).tolist()
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A process with its reference and the settings of its fits.

    Arguments:
        process: The process.
        reference: Makes the reference.
        duration: Duration of the paths.
        dt: Time step.
        save_every: Steps between frames.
        lag: Lag of the denoising objectives, a quarter of it for Euler's kernel.
        window: Window of the local parametrisation.
        times: Times at which the scores are compared, the first one the first trained for.
        most_paths: Paths that are learned from at most.
    """

    process: Process
    reference: Callable[[Process], Reference]
    duration: float
    dt: float
    save_every: int
    lag: float
    window: float
    times: tuple[float, ...]
    most_paths: int = 50_000

    def paths(self, number: int, seed: int) -> xr.Dataset:
        """Return simulated paths."""
        return simulate(
            self.process, paths=number, duration=self.duration, dt=self.dt, save_every=self.save_every, seed=seed
        )

    @property
    def contestants(self) -> dict[str, Contestant]:
        """All objectives by name, each with the parametrisation that it trains: the local one, or none."""
        lag, hutchinson = self.lag, ImplicitScoreMatching(divergence="hutchinson")
        objectives: dict[str, Objective] = {
            "local, pairs": LocalDenoising(lag=lag),
            "local, control variate": LocalDenoising(lag=lag, variance_reduction="control-variate"),
            "local, plain": LocalDenoising(lag=lag, variance_reduction="none"),
            "mixture": MixtureDenoising(lag=lag),
            "path-weighted": PathWeightedDenoising(lag=4 * lag),
            "exact": ExactDenoising(lag=4 * lag),
            "euler": EulerDenoising(lag=lag / 4),
            "implicit, exact": ImplicitScoreMatching(),
            YARDSTICK: hutchinson,
            "sliced, whole": SlicedScoreMatching(),
            "sliced": SlicedScoreMatching(variance_reduction=False),
            "generalized sliced, tails": GeneralizedSlicedScoreMatching(),
            "diffusion, exact": DiffusionScoreMatching(),
        }
        local = {name: (objective, Local(window=self.window)) for name, objective in objectives.items()}
        return local | {f"{YARDSTICK}, direct": (hutchinson, Direct())}


def linear_case(process: Process) -> Case:
    """Return the case of a process solved exactly."""
    return Case(
        process=process,
        reference=Exact,
        duration=2.0,
        dt=1e-2,
        save_every=5,
        lag=0.2,
        window=1.0,
        times=(1.0, 1.5, 2.0),
        most_paths=50_000 if process.dimension < 50 else 20_000,
    )


CASES = {
    "active-swimmer": Case(
        process=ActiveSwimmer(),
        reference=lambda process: FokkerPlanck(process, cells=(768, 384)),
        duration=5.0,
        dt=2e-3,
        save_every=25,
        lag=0.2,
        window=0.75,
        times=(1.0, 3.0, 5.0),
    ),
    "double-well": Case(
        process=DoubleWell(),
        reference=FokkerPlanck,
        duration=1.0,
        dt=2e-3,
        save_every=5,
        lag=0.02,
        window=0.15,
        times=(0.2, 0.5, 1.0),
    ),
    "mixture-langevin": Case(
        process=MixtureLangevin(),
        reference=FokkerPlanck,
        duration=2.0,
        dt=5e-3,
        save_every=4,
        lag=0.08,
        window=0.2,
        times=(0.5, 1.0, 2.0),
    ),
    "ornstein-uhlenbeck-2": linear_case(linear(2)),
    "ornstein-uhlenbeck-10": linear_case(linear(10)),
    "ornstein-uhlenbeck-50": linear_case(linear(50)),
    "moving-trap-100": linear_case(MovingTrap(particles=50)),
}
