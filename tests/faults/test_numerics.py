"""Faults E: runs that diverge, drifts that are not numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from physcore.errors import NumericalError
from simulations import ActiveSwimmer, simulate

Run = Callable[..., Any]


def check_finite(run: Path) -> int:
    files = sorted((run / "trajectories").glob("*.nc"))
    for path in files:
        with xr.open_dataset(path, decode_times=False) as segment:
            assert all(np.isfinite(segment[name]).all() for name in segment.data_vars)
    return len(files)


EVERY = pytest.mark.parametrize("save_every", [1, 10])


@EVERY
def test_e1_a_step_too_large_is_said_with_step_time_path_and_advice(
    command: Run, tmp_path: Path, save_every: int
) -> None:
    words = ["--paths", 1024, "--duration", 5.0, "--save_every", save_every, "--frames_per_segment", 2, "--seed", 3]
    outcome = command("simulate", "active-swimmer", *words, "--dt", 0.5, "--out", "run")
    check_finite(tmp_path / "run")
    assert not (tmp_path / "run" / ".lock").exists()
    outcome.check_error(4, "step ", "time ", "path ", "not finite", "last good frame", "try dt <= ")
    advised = float(outcome.err.partition("try dt <= ")[2].split()[0].rstrip("."))
    smaller = 5.0 / (10 * np.ceil(0.5 / advised))
    again = command("simulate", "active-swimmer", *words, "--dt", smaller, "--out", "again")
    assert again.code == 0, again.err


@EVERY
def test_e1_the_path_that_is_named_is_the_one_that_diverged(save_every: int) -> None:
    class Fragile(ActiveSwimmer):
        """Every path is safe but one, which starts far out."""

        def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
            states = super().sample_initial(paths, generator)
            states[777] = 1e3
            return states

    with pytest.raises(NumericalError, match=r"path 777: 1 states are not finite.*try dt <= "):
        simulate(Fragile(), paths=1024, duration=1.0, dt=0.1, save_every=save_every, seed=1)


def test_e1_paths_are_named_by_their_index_in_the_run_and_not_in_their_block(tmp_path: Path) -> None:
    class Fragile(ActiveSwimmer):
        """Diverges where the random start is far out, which no path of the first block is."""

        def drift(self, state: Tensor, time: Tensor) -> Tensor:
            return torch.where(state[..., :1] > farthest, torch.inf, 0.0 * state)

    start = simulate(ActiveSwimmer(), paths=3072, duration=0.1, dt=0.1, seed=1)["x"].isel(time=0).values
    farthest = float(start[:1024].max())
    expected = int(np.flatnonzero(start > farthest)[0])
    with pytest.raises(NumericalError, match=f"path {expected}:"):
        simulate(Fragile(), paths=3072, paths_per_block=1024, duration=1.0, dt=0.1, seed=1)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_e3_a_drift_that_is_not_a_number_is_named(tmp_path: Path, bad: float) -> None:
    class Broken(ActiveSwimmer):
        def drift(self, state: Tensor, time: Tensor) -> Tensor:
            drift = super().drift(state, time)
            return torch.where(state[..., 1:] > 2.5, bad, drift)

    with pytest.raises(NumericalError, match=r"Broken\.drift is not finite at"):
        simulate(Broken(), paths=1024, duration=1.0, dt=0.1, seed=1, out=tmp_path / "run")
    check_finite(tmp_path / "run")


@pytest.mark.parametrize("when", ["from-the-start", "later"])
def test_e3_noise_that_is_not_a_number_is_an_error(when: str) -> None:
    class Broken(ActiveSwimmer):
        def noise(self, time: Tensor) -> Tensor:
            factor = torch.nan if when == "from-the-start" or time > 0.45 else 1.0
            return super().noise(time) * factor

    with pytest.raises(NumericalError, match="not finite"):
        simulate(Broken(), paths=1024, duration=1.0, dt=0.1, seed=1)


def test_e3_an_initial_state_that_is_not_a_number_is_an_error(tmp_path: Path) -> None:
    class Broken(ActiveSwimmer):
        def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
            states = super().sample_initial(paths, generator)
            states[5, 0] = torch.nan
            return states

    with pytest.raises(NumericalError, match="path 5"):
        simulate(Broken(), paths=1024, duration=1.0, dt=0.1, seed=1, out=tmp_path / "run")
    check_finite(tmp_path / "run")


def test_e12_the_same_seed_gives_the_same_files_and_another_one_others(
    command: Run, sha256: Run, tmp_path: Path
) -> None:
    words = ["simulate", "active-swimmer", "--paths", 1024, "--duration", 0.2, "--dt", 0.01, "--save_every", 5]
    for seed, name in ((3, "a"), (3, "b"), (4, "c")):
        assert command(*words, "--seed", seed, "--out", name).code == 0
    first, second, third = (sha256(tmp_path / name) for name in "abc")
    assert first == second
    assert first != third
