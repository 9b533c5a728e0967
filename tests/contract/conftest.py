"""Every registered part, built with the defaults that ship with it; a new part is tested by being registered."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import xarray as xr

from physcore import Process, SolvableProcess
from physcore.configuration import default_run
from physcore.particles import ManyParticles
from physcore.registry import build, names
from physcore.score import FixedLag, Objective, ScoreModel, Training
from physcore.score.batches import TrajectoryBatches
from simulations import Scheme, simulate

FEW_COMPONENTS = 8


@pytest.fixture(scope="session")
def exported() -> Callable[..., dict[str, Any]]:
    """Return what a user has after ``from package import *``, the namespace in which a repr must mean something."""
    return lambda *packages: {name: getattr(package, name) for package in packages for name in package.__all__}


def kind(process: Process) -> tuple[object, ...]:
    """Return what makes one process different from another for what is built on it."""
    additive = process.noise_type == "additive"
    return (
        process.noise_type,
        additive and process.noise(torch.zeros(2)).ndim == 3,  # changes in time
        additive and len(process.driven) < process.dimension,
        min(process.dimension, 2) + (process.dimension > FEW_COMPONENTS),
        isinstance(process, SolvableProcess),
        isinstance(process, ManyParticles),
    )


def default_process(name: str) -> Process:
    built: Process = build("physcore.processes", name, default_run(name).get("parameters", {}))
    return built


@functools.cache
def one_of_each_kind() -> list[str]:
    """Return the first name of each kind of process."""
    return list({kind(default_process(name)): name for name in reversed(names("physcore.processes"))}.values())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give every process to a test, or one of each kind where it is of another part that knows no process by name."""
    if "process_name" in metafunc.fixturenames:
        few = metafunc.definition.get_closest_marker("one_of_each_kind") is not None
        chosen = one_of_each_kind() if few else names("physcore.processes")
        metafunc.parametrize("process_name", chosen, indirect=True, scope="session")


@pytest.fixture(scope="session")
def process_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def run(process_name: str) -> dict[str, Any]:
    """The default run that lies beside the process."""
    return default_run(process_name)


@pytest.fixture(scope="session")
def process(process_name: str) -> Process:
    return default_process(process_name)


@pytest.fixture(scope="session", params=names("physcore.schemes"))
def scheme(request: pytest.FixtureRequest) -> Scheme:
    built: Scheme = build("physcore.schemes", request.param, {})
    return built


@pytest.fixture(scope="session", params=names("physcore.objectives"))
def objective(request: pytest.FixtureRequest) -> Objective:
    built: Objective = build("physcore.objectives", request.param, {})
    return built


@pytest.fixture(scope="session")
def trajectories(process: Process, run: dict[str, Any], lag: float) -> xr.Dataset:
    """A few paths over some lags of the default run."""
    settings = run["simulate"]
    dt, between = settings["dt"], settings["save_every"]
    frames = round(4 * lag / (dt * between))
    return simulate(process, paths=1024, duration=frames * between * dt, dt=dt, save_every=between, seed=11)


@pytest.fixture(scope="session")
def lag(run: dict[str, Any], process: Process) -> float:
    """The lag of the default run, two frames where it ends with the simulation."""
    if "fit" not in run and isinstance(process, ManyParticles):
        pytest.skip("no score is learned of the many particles of this run")
    if "fit" not in run:
        return float(2 * run["simulate"]["dt"] * run["simulate"]["save_every"])
    return float(run["fit"]["objective"]["lag"])


@pytest.fixture(scope="session")
def default_score(process: Process, trajectories: xr.Dataset, lag: float) -> ScoreModel:
    """An untrained score of the default parametrisation for every process."""
    return untrained("local", process, trajectories, lag)


@pytest.fixture(scope="session", params=names("physcore.models"))
def score(request: pytest.FixtureRequest, process: Process, trajectories: xr.Dataset, lag: float) -> ScoreModel:
    """An untrained score of every parametrisation for every process that suits it."""
    return untrained(request.param, process, trajectories, lag)


@pytest.fixture(scope="session", params=names("physcore.models"))
def driven_score(request: pytest.FixtureRequest, process: Process, trajectories: xr.Dataset, lag: float) -> ScoreModel:
    """An untrained score of the driven components of every process in which there are others."""
    if process.noise_type != "additive":
        pytest.skip("the noise depends on the state")
    if len(process.driven) == process.dimension:
        pytest.skip("noise drives every component")
    return untrained(request.param, process, trajectories, lag, components="driven")


def untrained(name: str, process: Process, trajectories: xr.Dataset, lag: float, **settings: str) -> ScoreModel:
    model = build("physcore.models", name, settings)
    batches = TrajectoryBatches(process, trajectories, Training(), torch.device("cpu"))
    schedule = FixedLag(gap=lag)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        try:
            built: ScoreModel = model.build(process, batches.pilot, schedule, batches.time_range(schedule))
        except ValueError as reason:
            pytest.skip(str(reason))
    return built
