"""Fused kernels and torch take the same steps with the same random numbers."""

import logging
import platform
import subprocess
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from physcore import Process, Variable
from physcore.fusion import compiler
from physcore.stepping import Stepping, stepper_for
from physcore.stepping.eager import Eager
from physcore.stepping.fused_cpu import FusedCpu
from physcore.stepping.kernel_source import traced_step
from physcore.streams import Streams
from simulations import ActiveSwimmer, EulerMaruyama, OrnsteinUhlenbeck, simulate

PATHS, FIRST_PATH = 150, 1000


class Driven(Process):
    """A process of any dimension with drift and noise that depend on time."""

    def __init__(self, dimension: int, noises: int) -> None:
        self.variables = tuple(Variable(f"x{i}") for i in range(dimension))
        self.matrix = torch.linspace(0.1, 1.0, dimension * noises, dtype=torch.float64).reshape(dimension, noises)

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        return torch.sin(2 * time) * state.roll(1, -1) - state**3 / (1 + state.square())

    def noise(self, time: Tensor) -> Tensor:
        return self.matrix * (1 + torch.as_tensor(time))[..., None, None]

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        return torch.randn(paths, self.dimension, generator=generator)


def stepping(process: Process, dtype: torch.dtype = torch.float64, three_point: bool = False) -> Stepping:
    return Stepping(
        step=lambda state, time, normals: EulerMaruyama().step(process, state, time, 0.01, normals),
        components=process.dimension,
        normals=process.noises,
        dt=0.01,
        start=0.5,
        dtype=dtype,
        three_point=three_point,
        streams=Streams(3, "noise"),
        device=torch.device("cpu"),
    )


def frames(way: Callable[[Stepping], Any], work: Stepping, first: int = 0, last: int = 300) -> Tensor:
    d, saved = work.components, np.array([first, first + 1, first + 7, last])
    start = torch.linspace(-1, 1, d * PATHS, dtype=work.dtype).reshape(d, PATHS)
    result = torch.full((d, 4, PATHS), torch.nan, dtype=work.dtype)
    assert way(work).advance(start, result, saved, FIRST_PATH, first) == 0
    assert torch.equal(result[:, 0], start)
    return result


def fused(work: Stepping) -> FusedCpu:
    start = torch.randn(work.components, 64, generator=torch.Generator().manual_seed(0), dtype=work.dtype)
    stepper = stepper_for(work, start)
    assert isinstance(stepper, FusedCpu), stepper.way
    return stepper


def eager(work: Stepping) -> Eager:
    return Eager(work, "for comparison")


SIZES = [(1, 1), (2, 1), (2, 3), (3, 2), (5, 64), (4, 65), (6, 70)]


@pytest.mark.parametrize("three_point", [False, True], ids=["gaussian", "three-point"])
@pytest.mark.parametrize(("dimension", "noises"), SIZES, ids=str)
def test_both_ways_take_the_same_steps(dimension: int, noises: int, three_point: bool) -> None:
    work = stepping(Driven(dimension, noises), three_point=three_point)
    one, other = frames(fused, work), frames(eager, work)
    # The normals differ in their last bit, and the process does not forget it at once.
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    assert (one[:, -1] - one[:, 0]).abs().mean() > 0.05


@pytest.mark.parametrize("first", [1, 2, 255, 256, 257, 300, 2**40 + 11])
def test_both_ways_agree_from_any_step_on(first: int) -> None:
    for size in ((2, 1), (2, 2), (3, 3)):
        if first > 2**40 and size != (2, 2):
            continue  # the noise grows with time
        work = stepping(OrnsteinUhlenbeck.rotating_trap() if size == (2, 2) else Driven(*size))
        torch.testing.assert_close(
            frames(fused, work, first, first + 20), frames(eager, work, first, first + 20), rtol=1e-4, atol=1e-4
        )


def test_single_precision_is_the_same_process() -> None:
    double = frames(fused, stepping(ActiveSwimmer()))
    single = frames(fused, stepping(ActiveSwimmer(), torch.float32))
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("way", [fused, eager])
def test_a_path_does_not_depend_on_its_neighbours(way: Callable[[Stepping], Any]) -> None:
    work = stepping(Driven(3, 3), torch.float32)
    whole, start = frames(way, work), torch.linspace(-1, 1, 3 * PATHS).reshape(3, PATHS)
    for first, last in ((0, 1), (63, 66), (100, 150)):
        part = torch.empty(3, 2, last - first)
        way(work).advance(start[:, first:last].contiguous(), part, np.array([7, 300]), FIRST_PATH + first, 0)
        assert torch.equal(part, whole[:, 2:, first:last])


def test_threads_share_the_paths_and_change_nothing() -> None:
    work, threads = stepping(Driven(3, 3), torch.float32), torch.get_num_threads()
    plain = frames(fused, work)
    try:
        torch.set_num_threads(2)
        assert torch.equal(frames(fused, work), plain)
    finally:
        torch.set_num_threads(threads)


def test_frames_may_be_part_of_a_larger_array() -> None:
    work = stepping(ActiveSwimmer(), torch.float32)
    large = torch.zeros(2, 6, PATHS + 10)
    start = torch.linspace(-1, 1, 2 * PATHS).reshape(2, PATHS)
    fused(work).advance(start, large[:, 1:5, 3 : PATHS + 3], np.array([0, 1, 7, 300]), FIRST_PATH, 0)
    assert torch.equal(large[:, 1:5, 3 : PATHS + 3], frames(fused, work))
    large[:, 1:5, 3 : PATHS + 3] = 0
    assert not large.any(), "something was written beside the frames"


def test_states_that_are_not_finite_are_counted() -> None:
    for way in (fused, eager):
        work = stepping(ActiveSwimmer(), torch.float32)
        start = torch.zeros(2, PATHS)
        start[0, 5], start[:, 140] = torch.inf, torch.nan
        result = torch.empty(2, 2, PATHS)
        assert way(work).advance(start, result, np.array([0, 3]), 0, 0) == 6


class Branching(ActiveSwimmer):
    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        return super().drift(state, time) if state.sum() > 0 else super().drift(state, time) / 2


class Hidden(ActiveSwimmer):
    """Leaves torch, where no trace can follow."""

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        return torch.from_numpy(-state.numpy())


class Inverse(ActiveSwimmer):
    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        eye = torch.eye(2, dtype=state.dtype)
        return torch.linalg.solve(eye + 0.1 * torch.diag_embed(state.square()), -state)


@pytest.mark.parametrize("process", [Branching(), Hidden(), Inverse()], ids=lambda process: type(process).__name__)
def test_what_cannot_be_fused_is_stepped_by_torch_and_said(process: Process, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="physcore"):
        run = simulate(process, paths=100, duration=0.1, dt=0.01, seed=1)
    assert "torch, step by step" in caplog.text
    assert bool(np.isfinite(run["x"]).all())
    assert float(np.abs(run["x"].isel(time=-1) - run["x"].isel(time=0)).max()) > 0


def test_without_a_compiler_torch_steps_and_the_numbers_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"paths": 200, "duration": 3.0, "dt": 0.01, "save_every": 10, "seed": 1}
    fast = simulate(ActiveSwimmer(friction=0.7), **settings)
    monkeypatch.setenv("CC", "false")
    # A source of its own, which no cache holds.
    monkeypatch.setattr("physcore.stepping.kernel_source.LANES_OF_SMALL_STATES", 96)
    slow = simulate(ActiveSwimmer(friction=0.7), **settings)
    np.testing.assert_allclose(fast["v"], slow["v"], atol=2e-5)
    np.testing.assert_allclose(fast["x"], slow["x"], atol=2e-5)


def test_parameters_and_steps_share_one_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(ActiveSwimmer(friction=0.3), paths=10, duration=0.1, dt=0.01, seed=1)
    monkeypatch.setenv("CC", "false")  # a second compilation would fail and torch would step
    work = stepping(ActiveSwimmer(friction=0.83, temperature=1.7), torch.float32)
    assert isinstance(stepper_for(work, torch.zeros(2, 64)), FusedCpu)


class Sided(Driven):
    """A process whose drift chooses between two numbers."""

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        side = torch.where(state > 0, torch.full_like(state, 2.0), torch.full_like(state, -0.5))
        return side * (1 + state.square()).sqrt()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads the assembly of one kind of processor")
@pytest.mark.parametrize("noises", [1, 2])
def test_a_choice_between_numbers_is_made_in_vectors(noises: int) -> None:
    command = compiler._compiler()
    if command is None:
        pytest.skip("no C compiler")
    source, _ = traced_step(stepping(Sided(2, noises), torch.float32)).source(
        single=True, three_point=False, cuda=False
    )
    flags = [flag for flag in compiler.FLAGS if flag != "-shared"]
    made = subprocess.run(
        [*command, *flags, "-x", "c", "-S", "-o", "-", "-"], input=source, capture_output=True, text=True, check=True
    )
    assert "sqrtps" in made.stdout
    assert "sqrtss" not in made.stdout


class Rounded(Driven):
    """A process whose drift is what rounding leaves of zero."""

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        return 1e6 * ((state * state + 1.0) - state * state - 1.0)


def test_a_step_that_rounding_decides_is_fused_too() -> None:
    how = stepping(Rounded(2, 1), torch.float32)
    states = torch.linspace(-1.0, 1.0, 2 * PATHS).reshape(2, PATHS)
    assert isinstance(stepper_for(how, states), FusedCpu)
