"""Trajectories of many particles: one variable for each physical one, and the same states back."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from physcore import Process, Variable, open_run, trajectory
from physcore.errors import DataFileError, NumericalError, Stopped
from physcore.particles import ManyParticles, particle_components, stored_variables
from physcore.stopping import StopRequest
from physcore.trajectory import component, frames, trajectory_dataset, validated_trajectories
from simulations import ActiveSwimmer, MovingTrap, simulate

TRAP = MovingTrap(particles=3)
TIMES = np.array([0.0, 0.5, 1.0])


class Unfitting(Process):
    """Declares three particles and has a component too few."""

    particles = 3
    particle_variables = (Variable("x"), Variable("y"))
    variables = particle_components(particle_variables, 3)[:-1]

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        return -state

    def noise(self, time: Tensor) -> Tensor:
        return torch.eye(5)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        return torch.zeros(paths, 5)


def numbered() -> np.ndarray:
    """States that say their component, frame and path: 100 component + 10 frame + path."""
    component, frame, path = np.meshgrid(np.arange(6), np.arange(3), np.arange(4), indexing="ij")
    return (100 * component + 10 * frame + path).astype(np.float32)


@pytest.fixture
def dataset() -> xr.Dataset:
    return trajectory_dataset(TRAP, numbered(), TIMES, np.arange(4), {"process": "moving-trap"})


def test_components_are_numbered_variable_by_variable() -> None:
    variables = particle_components((Variable("x", units="m", symbol="x"), Variable("angle", units="radian")), 2)
    assert [variable.name for variable in variables] == ["x0", "x1", "angle0", "angle1"]
    assert [variable.units for variable in variables] == ["m", "m", "radian", "radian"]
    assert variables[1].label == "$x_{1}$ [m]"
    assert variables[2].long_name == "angle of particle 0"
    assert particle_components((Variable("x"),), 5000) is particle_components((Variable("x"),), 5000)


def test_a_dataset_holds_one_variable_for_each_physical_one(dataset: xr.Dataset) -> None:
    assert set(dataset.data_vars) == {"x", "y"}
    assert dict(dataset.sizes) == {"path": 4, "time": 3, "particle": 3}
    for name, offset in (("x", 0), ("y", 300)):
        assert dataset[name].dims == ("path", "time", "particle")
        for particle in range(3):
            expected = offset + 100 * particle + 10 * np.arange(3) + np.arange(4)[:, None]
            np.testing.assert_array_equal(dataset[name].sel(particle=particle), expected)
    assert dataset["x"].attrs["long_name"] == "position along x"


def test_a_dataset_is_a_view_of_the_states() -> None:
    states = numbered()
    dataset = trajectory_dataset(TRAP, states, TIMES, np.arange(4), {})
    assert all(np.shares_memory(dataset[name].values, states) for name in ("x", "y"))


def test_frames_are_the_states_in_any_order_of_the_dimensions(dataset: xr.Dataset) -> None:
    expected = torch.from_numpy(numbered()).permute(1, 2, 0)
    assert torch.equal(frames(TRAP, dataset), expected)
    assert torch.equal(frames(TRAP, dataset.transpose("particle", "time", "path")), expected)
    assert torch.equal(frames(TRAP, dataset.isel(time=[-1], path=[1, 3])), expected[-1:, [1, 3]])
    assert validated_trajectories(TRAP, dataset.transpose()).x.dims == ("path", "time", "particle")


def test_a_component_is_found_in_its_variable(dataset: xr.Dataset) -> None:
    for i in range(6):
        values = component(TRAP, dataset, i)
        assert values.dims == ("path", "time")
        assert values.name == TRAP.variables[i].name
        np.testing.assert_array_equal(values, numbered()[i].T)
    swimmer = ActiveSwimmer()
    plain = trajectory_dataset(swimmer, numbered()[:2], TIMES, np.arange(4), {})
    np.testing.assert_array_equal(component(swimmer, plain, 1), numbered()[1].T)


def test_a_process_without_particles_keeps_its_variables() -> None:
    plain = trajectory_dataset(ActiveSwimmer(), numbered()[:2], TIMES, np.arange(4), {})
    assert list(plain.data_vars) == ["x", "v"]
    assert plain["v"].dims == ("path", "time")
    assert "particle" not in plain.dims
    assert not isinstance(ActiveSwimmer(), ManyParticles)
    assert isinstance(TRAP, ManyParticles)


def test_another_number_of_particles_and_missing_dimensions_are_refused(dataset: xr.Dataset) -> None:
    with pytest.raises(DataFileError, match="must hold 4 particles"):
        frames(MovingTrap(particles=4), dataset)
    with pytest.raises(DataFileError, match="must have dimensions path and time and particle"):
        frames(TRAP, dataset.isel(particle=0))
    with pytest.raises(DataFileError, match="dimensions path and time"):
        frames(ActiveSwimmer(), dataset.rename(y="v"))
    with pytest.raises(ValueError, match="2 components for each of its 3 particles"):
        stored_variables(Unfitting())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_run_in_files_is_the_run_in_memory_also_when_it_was_interrupted(
    tmp_path: Path, dtype: str, stop_after: Callable[[int], StopRequest]
) -> None:
    settings = {"paths": 1500, "duration": 0.4, "dt": 0.02, "save_every": 2, "paths_per_block": 1024, "seed": 9}
    memory = simulate(TRAP, **settings, dtype=dtype)
    assert memory["x"].dtype == dtype
    split = {**settings, "dtype": dtype, "frames_per_segment": 4, "out": tmp_path / "run"}
    with pytest.raises(Stopped):
        simulate(TRAP, **split, stop=stop_after(2))
    simulate(TRAP, **split)
    written = open_run(tmp_path / "run").load()
    xr.testing.assert_equal(written, memory)
    states = frames(TRAP, written, torch.float64)
    assert states.shape == (11, 1500, 6)
    np.testing.assert_array_equal(states[:, :, 4], written["y"].sel(particle=1).transpose("time", "path"))


def test_thousands_of_particles_are_few_variables() -> None:
    many = MovingTrap(particles=5000)
    states = np.zeros((10_000, 2, 1), dtype=np.float32)
    dataset = trajectory_dataset(many, states, TIMES[:2], np.arange(1), {})
    assert len(dataset.variables) == 5
    assert frames(many, dataset).shape == (2, 1, 10_000)


def test_states_are_read_some_paths_at_a_time(dataset: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, load = [], xr.Dataset.load

    def noted(part: xr.Dataset) -> xr.Dataset:
        loaded.append(part.sizes["path"])
        return load(part)

    monkeypatch.setattr(xr.Dataset, "load", noted)
    whole = frames(TRAP, dataset)
    monkeypatch.setattr(trajectory, "NUMBERS_AT_ONCE", 3 * 3 * 6)  # of three paths
    assert torch.equal(frames(TRAP, dataset), whole)
    assert loaded == [4, 3, 1]
    name = next(iter(dataset.data_vars))
    dataset[name][0, 2], dataset[name][3, 1] = np.nan, np.inf
    with pytest.raises(NumericalError, match=r"2 states are not finite, first at time 0.5, path index 3"):
        frames(TRAP, dataset)
