"""Batches: held-out paths are never drawn, and states lie the lag before the wanted times."""

import numpy as np
import pytest
import torch
import xarray as xr

from physcore.errors import DataFileError
from physcore.score import FixedLag, LocalDenoising, Training
from physcore.score.batches import TrajectoryBatches
from physcore.trajectory import trajectory_dataset
from simulations import ActiveSwimmer

PATHS, FRAMES, BETWEEN, START = 1000, 41, 0.05, 0.5
CPU = torch.device("cpu")
LAG = LocalDenoising(lag=0.2)


class Frames(LocalDenoising):
    """An objective of the states at the frames themselves."""

    schedule = FixedLag(gap=0.0)


def labelled() -> xr.Dataset:
    """Trajectories whose states say which path and frame they are."""
    path, frame = np.meshgrid(np.arange(PATHS), np.arange(FRAMES))
    states = np.stack([path, frame]).astype(np.float32)
    return trajectory_dataset(ActiveSwimmer(), states, START + BETWEEN * np.arange(FRAMES), np.arange(PATHS), {})


def batches(**training: float) -> TrajectoryBatches:
    return TrajectoryBatches(ActiveSwimmer(), labelled(), Training(**training), CPU)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


@pytest.mark.parametrize("held_out", [0.05, 0.5, 1e-6])
def test_held_out_paths_are_never_trained_on(held_out: float) -> None:
    source = batches(held_out=held_out)
    training = source.draw(50_000, source.training_paths, LAG, generator()).state[:, 0]
    validation = source.draw(50_000, source.held_out_paths, LAG, generator()).state[:, 0]
    assert set(training.tolist()).isdisjoint(validation.tolist())
    first = PATHS - max(1, round(PATHS * held_out))
    assert set(validation.tolist()) == set(range(first, PATHS))
    assert set(training.tolist()) == set(range(first))


def test_states_lie_at_the_last_frame_that_is_a_lag_before() -> None:
    source = batches()
    batch = source.draw(20_000, source.training_paths, LAG, generator())
    frame = batch.state[:, 1].double()
    torch.testing.assert_close(batch.start.double(), START + BETWEEN * frame, rtol=1e-6, atol=0)
    lags = (batch.time - batch.start).double()
    assert lags.min() > 0.2 - 1e-5
    assert lags.max() < 0.2 + BETWEEN + 1e-5
    assert lags.max() - lags.min() > 0.9 * BETWEEN


def test_wanted_times_fill_the_range_uniformly_or_early() -> None:
    for emphasis in (1.0, 2.0):
        source = batches(early_emphasis=emphasis)
        first, last = source.time_range(LAG.schedule)
        assert (first, last) == pytest.approx((START + 0.2, START + BETWEEN * (FRAMES - 1)))
        uniform = ((source.draw(20_000, source.training_paths, LAG, generator()).time - first) / (last - first)) ** (
            1 / emphasis
        )
        z = (uniform.double().mean() - 0.5) * (12 * 20_000) ** 0.5
        assert abs(z) < 5
    skewed = batches(early_emphasis=2.0).draw(20_000, range(10), LAG, generator()).time
    assert abs(((skewed - first) / (last - first)).double().mean() - 0.5) * (12 * 20_000) ** 0.5 > 5


def test_a_first_time_before_the_first_lag_starts_from_the_first_frame() -> None:
    source = batches(first_time=START + 0.01)
    batch = source.draw(20_000, source.training_paths, LAG, generator())
    early = batch.time < START + 0.2 - 1e-4
    assert early.any()
    assert not batch.state[early, 1].any()
    assert (batch.time > batch.start).all()


def test_paths_are_drawn_evenly_and_apart_from_time() -> None:
    source = batches()
    batch = source.draw(100_000, source.training_paths, LAG, generator())
    path, time = batch.state[:, 0].double(), batch.time.double()
    assert abs((path.mean() - (950 - 1) / 2) / (path.std() / 100_000**0.5)) < 5
    correlation = ((path - path.mean()) * (time - time.mean())).mean() / (path.std() * time.std())
    assert abs(correlation * 100_000**0.5) < 5


def test_a_batch_is_a_function_of_its_generator_and_its_parts_are_all_of_it() -> None:
    source = batches()
    first, second = (source.draw(100, source.training_paths, LAG, generator()) for _ in range(2))
    assert torch.equal(first.state, second.state)
    parts = [first.rows(slice(rank, None, 3)) for rank in range(3)]
    assert sorted(torch.cat([part.time for part in parts]).tolist()) == sorted(first.time.tolist())
    assert [len(part.time) for part in parts] == [34, 33, 33]


@pytest.mark.parametrize(
    ("lag", "training", "error", "what"),
    [
        (2.5, {}, DataFileError, "lag"),
        (0.2, {"first_time": 0.5}, ValueError, "first_time"),
        (0.2, {"first_time": 9.0}, ValueError, "first_time"),
    ],
    ids=["too-short", "first-time-at-start", "first-time-after-end"],
)
def test_times_that_do_not_fit_are_refused(
    lag: float, training: dict[str, float], error: type[Exception], what: str
) -> None:
    with pytest.raises(error, match=what):
        batches(**training).time_range(FixedLag(gap=lag))


def test_too_few_paths_to_hold_one_out_are_refused() -> None:
    with pytest.raises(DataFileError, match="too few"):
        TrajectoryBatches(ActiveSwimmer(), labelled().isel(path=[0]), Training(), CPU)


def test_without_a_lag_times_are_those_of_frames_all_alike() -> None:
    source = batches()
    batch = source.draw(82_000, source.training_paths, Frames(), generator())
    assert torch.equal(batch.start, batch.time)
    counts = torch.bincount(batch.state[:, 1].long(), minlength=FRAMES).double()
    expected = torch.full((FRAMES,), 82_000 / (FRAMES - 1), dtype=torch.float64)
    expected[[0, -1]] /= 2  # the ends gather from one side
    assert (((counts - expected) / expected.sqrt()).abs() < 5).all()
