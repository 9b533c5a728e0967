"""The bits of a path depend on seed, settings and process alone; the Dataset keeps to its schema."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from physcore import Process, Variable, open_run
from physcore.errors import NumericalError, Stopped
from physcore.registry import build
from physcore.stopping import StopRequest
from physcore.trajectory import frames
from simulations import ActiveSwimmer, DoubleWell, Heun, OrnsteinUhlenbeck, Simulation, simulate

PROCESSES: dict[str, Process] = {
    "swimmer": ActiveSwimmer(),
    "well": DoubleWell(),
    "trap": OrnsteinUhlenbeck.rotating_trap(),
    "five": OrnsteinUhlenbeck(
        drift_matrix=tuple(tuple(-1.0 if i == j else 0.1 * (i - j) for j in range(5)) for i in range(5)),
        noise_matrix=tuple(tuple(float(i == j) for j in range(5)) for i in range(5)),
    ),
}
SETTINGS: dict[str, Any] = {
    "paths": 2500,
    "duration": 2.4,
    "dt": 0.02,
    "save_every": 4,
    "seed": 7,
    "paths_per_block": 1024,
}


def states(process: Process, **changed: Any) -> Tensor:
    return frames(process, simulate(process, **{**SETTINGS, **changed}), torch.float64)


@pytest.mark.parametrize(("name", "dtype"), [*((name, "float32") for name in PROCESSES), ("swimmer", "float64")])
def test_bits_of_a_path_do_not_depend_on_how_the_work_is_cut(name: str, dtype: str) -> None:
    process = PROCESSES[name]
    plain = states(process, dtype=dtype)
    assert plain.shape == (31, 2500, process.dimension)
    for cut in (
        {"paths_per_block": 2048},
        {"paths_per_block": 4096},
        {"frames_per_segment": 1},
        {"frames_per_segment": 7},
        {"paths_per_block": 3072, "frames_per_segment": 30},
    ):
        assert torch.equal(states(process, dtype=dtype, **cut), plain), cut


@pytest.mark.parametrize("name", PROCESSES)
def test_bits_do_not_depend_on_how_often_frames_are_saved(name: str) -> None:
    process = PROCESSES[name]
    every_step = states(process, save_every=1)
    for between in (2, 3, 8, 60, 120):
        assert torch.equal(states(process, save_every=between), every_step[::between])


@pytest.mark.parametrize("name", PROCESSES)
def test_a_longer_and_larger_run_begins_with_the_shorter_and_smaller_one(name: str) -> None:
    process = PROCESSES[name]
    plain = states(process)
    assert torch.equal(states(process, duration=1.2), plain[:16])
    for paths in (1, 3, 1000, 1024, 1025):
        assert torch.equal(states(process, paths=paths), plain[:, :paths]), f"{paths} paths"


@pytest.mark.parametrize("largest", [1, 5000, 30_000, 10**6])
def test_long_calls_are_cut_without_a_trace(monkeypatch: pytest.MonkeyPatch, largest: int) -> None:
    swimmer, saving = PROCESSES["swimmer"], {"save_times": (0.02, 0.5, 0.52, 2.4)}
    whole = states(swimmer, **saving)
    monkeypatch.setattr("simulations.block.LARGEST_CALL", largest)
    assert torch.equal(states(swimmer, **saving), whole)


@pytest.fixture
def two_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("cut", [{}, {"frames_per_segment": 7}, {"paths_per_block": None}], ids=str)
def test_bits_do_not_depend_on_the_number_of_threads(
    tmp_path: Path, request: pytest.FixtureRequest, cut: dict[str, Any]
) -> None:
    swimmer, settings = PROCESSES["swimmer"], {**SETTINGS, "paths": 20_000, **cut}
    single = simulate(swimmer, **settings)
    request.getfixturevalue("two_threads")
    xr.testing.assert_equal(simulate(swimmer, **settings), single)
    xr.testing.assert_equal(simulate(swimmer, **settings, out=tmp_path / "run").load(), single)


def test_two_threads_continue_a_stopped_run_and_leave_no_thread_behind(
    tmp_path: Path, stop_after: Callable[[int], StopRequest], two_threads: None
) -> None:
    swimmer, settings = PROCESSES["swimmer"], {**SETTINGS, "frames_per_segment": 8}
    with pytest.raises(Stopped):
        simulate(swimmer, **settings, out=tmp_path / "run", stop=stop_after(5))
    assert len(list((tmp_path / "run" / "trajectories").glob("*.nc"))) == 5
    continued = simulate(swimmer, **settings, out=tmp_path / "run")
    xr.testing.assert_equal(continued.load(), simulate(swimmer, **settings))
    with pytest.raises(NumericalError, match="path"):
        simulate(swimmer, paths=20_000, duration=2000.0, dt=2.0, seed=1)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("physcore")]


def test_seeds_give_different_paths_and_the_same_seed_the_same() -> None:
    swimmer = PROCESSES["swimmer"]
    assert torch.equal(states(swimmer), states(swimmer))
    first, second = states(swimmer), states(swimmer, seed=8)
    assert not torch.equal(first, second)
    z = (first[:, :, 1] * second[:, :, 1]).mean(1) * 2500**0.5
    assert z.abs().max() < 5, "velocities of two seeds are correlated"


def test_paths_are_independent_of_each_other() -> None:
    velocities = states(PROCESSES["trap"], duration=8.0)[-1]
    z = (velocities[1:] * velocities[:-1]).mean(0) * 2499**0.5
    assert z.abs().max() < 5
    z = (velocities[1024:2048] * velocities[:1024]).mean(0) * 1024**0.5
    assert z.abs().max() < 5, "groups of paths share their noise"


def test_the_single_and_the_double_precision_run_are_both_of_the_process() -> None:
    single, double = (states(PROCESSES["trap"], dtype=dtype)[-1] for dtype in ("float32", "float64"))
    assert abs(single.std() - double.std()) < 0.1


def test_a_run_in_memory_equals_the_run_in_a_folder(tmp_path: Path) -> None:
    swimmer = PROCESSES["swimmer"]
    memory = simulate(swimmer, **SETTINGS, frames_per_segment=8)
    folder = simulate(swimmer, **SETTINGS, frames_per_segment=8, out=tmp_path / "run")
    assert len(list((tmp_path / "run" / "trajectories").glob("*.nc"))) == 3 * 4
    xr.testing.assert_equal(memory, folder.load())
    assert {k: v for k, v in memory.attrs.items() if k in folder.attrs} == {
        k: v for k, v in folder.attrs.items() if k in memory.attrs
    }
    xr.testing.assert_equal(open_run(tmp_path / "run").load(), memory)
    for name in memory.variables:
        assert memory[name].attrs == folder[name].attrs
        assert memory[name].dtype == folder[name].dtype


def test_a_stopped_run_continues_to_the_same_bits(tmp_path: Path, stop_after: Callable[[int], StopRequest]) -> None:

    swimmer = PROCESSES["swimmer"]
    settings = {**SETTINGS, "frames_per_segment": 8}
    for segments in (5, 9):
        with pytest.raises(Stopped, match="again"):
            simulate(swimmer, **settings, out=tmp_path / "run", stop=stop_after(segments))
        assert len(list((tmp_path / "run" / "trajectories").glob("*.nc"))) == segments
    continued = simulate(swimmer, **settings, out=tmp_path / "run")
    xr.testing.assert_equal(continued.load(), simulate(swimmer, **settings))


def test_dataset_keeps_to_the_schema(tmp_path: Path) -> None:
    swimmer = ActiveSwimmer(friction=0.2)
    run = simulate(swimmer, **{**SETTINGS, "start": 0.5, "seed": 2**63 + 1}, out=tmp_path / "run")
    assert set(run.dims) == {"path", "time"}
    assert list(run.data_vars) == ["x", "v"]
    for variable in swimmer.variables:
        assert run[variable.name].dims == ("path", "time")
        assert run[variable.name].attrs["units"] == variable.units
        assert run[variable.name].attrs["long_name"] == variable.long_name
        assert run[variable.name].dtype == np.float32
    assert run["time"].dtype == np.float64
    np.testing.assert_array_equal(run["time"], 0.5 + np.arange(31) * 4 * 0.02)
    np.testing.assert_array_equal(run["path"], np.arange(2500))
    attributes = run.attrs
    assert "CF" in attributes["Conventions"]
    assert attributes["physcore_schema"] == 1
    assert attributes["process"] == "active-swimmer"
    assert attributes["integrator"] == "euler-maruyama"
    assert attributes["seed"] == str(2**63 + 1)
    assert attributes["dt"] == 0.02
    assert build("physcore.processes", attributes["process"], json.loads(attributes["parameters"])) == swimmer
    assert {"physcore", "torch", "numpy"} <= set(json.loads(attributes["versions"]))
    assert attributes["created_at"]
    assert "simulate" in attributes["history"]


def test_units_of_a_user_s_process_reach_the_dataset(tmp_path: Path) -> None:
    class Oscillator(Process):
        variables = (Variable("x", units="m"), Variable("v", units="m s-1", long_name="velocity"))
        time_units = "s"

        def drift(self, state: Tensor, time: Tensor) -> Tensor:
            x, v = state.unbind(-1)
            return torch.stack([v, -x], -1)

        def noise(self, time: Tensor) -> Tensor:
            return torch.tensor([[0.0], [0.3]])

        def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
            return torch.zeros(paths, 2)

    run = simulate(Oscillator(), paths=10, duration=1.0, dt=0.1, seed=1)
    assert run["x"].attrs == {"units": "m", "long_name": "x"}
    assert run["v"].attrs == {"units": "m s-1", "long_name": "velocity"}
    assert "Oscillator" in run.attrs["process"]
    assert json.loads(run.attrs["parameters"]) == {}
    assert not run["x"].sel(time=0.0).any()
    assert run["time"].attrs["units"] == "s"
    written = simulate(Oscillator(), paths=10, duration=1.0, dt=0.1, seed=1, out=tmp_path / "run")
    assert written["time"].dtype == np.float64, "seconds must stay numbers and not become dates"
    xr.testing.assert_equal(written.load(), run)


def test_time_dependent_drift_and_noise_are_taken_at_their_times() -> None:
    class Clock(Process):
        variables = (Variable("x"), Variable("y"))

        def drift(self, state: Tensor, time: Tensor) -> Tensor:
            return torch.stack([torch.ones_like(state[..., 0]) * time, torch.zeros_like(state[..., 1])], -1)

        def noise(self, time: Tensor) -> Tensor:
            strength = torch.as_tensor(time)
            zero = torch.zeros_like(strength)
            return torch.stack([zero, strength], -1).unsqueeze(-1)

        def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
            return torch.zeros(paths, 2, dtype=torch.float64)

    run = simulate(Clock(), paths=4096, duration=1.0, dt=0.1, start=2.0, dtype="float64", seed=1)
    times = 2.0 + 0.1 * np.arange(10)
    np.testing.assert_allclose(run["x"].isel(time=-1), 0.1 * times.sum(), rtol=1e-12)
    variance = 0.1 * (times**2).sum()
    z = (float((run["y"].isel(time=-1) ** 2).mean()) / variance - 1) * (4096 / 2) ** 0.5
    assert abs(z) < 5
    frozen = 0.1 * 10 * 2.0**2
    assert abs(float((run["y"].isel(time=-1) ** 2).mean()) / frozen - 1) * (4096 / 2) ** 0.5 > 5


def test_a_missing_seed_is_drawn_and_stored() -> None:
    first, second = (simulate(DoubleWell(), paths=5, duration=0.1, dt=0.1) for _ in range(2))
    assert first.attrs["seed"] != second.attrs["seed"]
    again = simulate(DoubleWell(), paths=5, duration=0.1, dt=0.1, seed=int(first.attrs["seed"]))
    xr.testing.assert_equal(first, again)


def test_e9_times_are_not_accumulated() -> None:
    settings = Simulation(duration=1e4, dt=1e-3, save_every=1)
    assert settings.steps == 10**7
    times = settings.times
    assert times.dtype == np.float64
    assert times[-1] == 1e4
    np.testing.assert_array_equal(times[::999_983], np.arange(0, 10**7 + 1, 999_983) * 1e-3)
    accumulated = np.cumsum(np.full(10**5, 1e-3, dtype=np.float32))[-1]
    assert abs(accumulated - 100.0) > 1e-3, "the reason for this test"


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"paths": 0}, "`paths`"),
        ({"paths": -1}, "`paths`"),
        ({"paths": 10**24}, "`paths`"),
        ({"dt": 0.0}, "`dt`"),
        ({"dt": -1.0}, "`dt`"),
        ({"dt": float("nan")}, "`dt`"),
        ({"dt": float("inf")}, "`dt`"),
        ({"dt": 1e-320}, "`dt`"),
        ({"duration": 0.0}, "`duration`"),
        ({"duration": -1.0}, "`duration`"),
        ({"duration": 0.05}, "`duration`"),
        ({"duration": float("inf")}, "`duration`"),
        ({"save_every": 0}, "`save_every`"),
        ({"save_every": 10**6}, "`save_every`"),
        ({"save_every": 7}, "`save_every`"),
        ({"paths_per_block": 1000}, "`paths_per_block`"),
        ({"frames_per_segment": 0}, "`frames_per_segment`"),
        ({"start": float("nan")}, "`start`"),
        ({"dtype": "float16"}, "`dtype`"),
    ],
    ids=str,
)
def test_d6_settings_out_of_range_are_refused_by_name(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        simulate(ActiveSwimmer(), **{**SETTINGS, **changed})


@pytest.mark.parametrize("changed", [{"paths": 1.5}, {"paths": True}, {"save_every": 2.0}, {"seed": 1.0}], ids=str)
def test_d6_settings_of_the_wrong_type_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=f"`{next(iter(changed))}`"):
        simulate(ActiveSwimmer(), **{**SETTINGS, **changed})


def test_an_initial_law_of_the_wrong_shape_is_refused() -> None:
    class Wrong(ActiveSwimmer):
        def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
            return torch.zeros(paths, 3)

    with pytest.raises(ValueError, match=r"\(paths, 2\)"):
        simulate(Wrong(), paths=10, duration=0.1, dt=0.1, seed=1)


def test_a_noise_matrix_of_the_wrong_shape_is_refused() -> None:
    class Wrong(ActiveSwimmer):
        def noise(self, time: Tensor) -> Tensor:
            return torch.ones(3, 1)

    with pytest.raises(ValueError, match=r"\(\.\.\., 2, noise\)"):
        simulate(Wrong(), paths=10, duration=0.1, dt=0.1, seed=1)


def test_settings_of_other_kinds_are_told_or_taken_for_what_they_mean() -> None:
    given = {"duration": 0.1, "dt": 0.05, "save_every": 1}
    with pytest.raises(TypeError, match=r"`scheme` must be a registered name, such as heun; got Heun\(\)"):
        Simulation(paths=4, scheme=Heun(), **given)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="`save_every` must be an integer or \"final\"; got 'last'"):
        Simulation(paths=4, **given | {"save_every": "last"})
    assert type(Simulation(paths=np.int64(4), **given).paths) is int  # type: ignore[arg-type]
