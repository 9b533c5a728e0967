"""What every registered objective keeps to."""

import dataclasses
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
import xarray as xr

import physcore.score
from physcore import Process
from physcore.score import Batch, Objective, Samples, ScoreModel, Training
from physcore.score.batches import TrajectoryBatches

Exported = Callable[[ModuleType], dict[str, Any]]
STATES = 11


@pytest.fixture(scope="session")
def batches(process: Process, trajectories: xr.Dataset) -> TrajectoryBatches:
    return TrajectoryBatches(process, trajectories, Training(), torch.device("cpu"))


@pytest.fixture(scope="session")
def suited(objective: Objective, batches: TrajectoryBatches, lag: float) -> Objective:
    """The default objective with the lag of the default run, and all that it measures beforehand."""
    lagged = dataclasses.replace(objective, lag=lag) if objective.lag else objective
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the lag .* was shortened")  # as it is for kernels that run so far badly
        return lagged.fitted(batches.pilot)


@pytest.fixture(scope="session")
def batch(suited: Objective, batches: TrajectoryBatches) -> Batch:
    return batches.draw(STATES, batches.training_paths, suited, torch.Generator().manual_seed(2))


@pytest.fixture(scope="session")
def samples(process: Process, suited: Objective, batch: Batch) -> Samples:
    return drawn(process, suited, batch)


@pytest.fixture(scope="session")
def watched(process: Process, suited: Objective, batch: Batch) -> tuple[Batch, Samples]:
    """The same states, of which autograd would note what is made, and the same samples of them."""
    copied = Batch(state=batch.state.clone().requires_grad_(), start=batch.start.clone(), time=batch.time.clone())
    return copied, drawn(process, suited, copied)


def seeded(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(process: Process, objective: Objective, batch: Batch, seed: int = 7) -> Samples:
    """Samples of the objective, if it suits the process."""
    try:
        sampler = objective.sampler(process)
    except ValueError as reason:
        pytest.skip(str(reason))
    return sampler(batch, seeded(seed))


def test_repr_is_the_constructor_call(objective: Objective, exported: Exported) -> None:
    assert eval(repr(objective), exported(physcore.score)) == objective


def test_samples_are_as_many_as_promised_finite_and_no_earlier_than_their_states(
    process: Process, suited: Objective, batch: Batch, samples: Samples
) -> None:
    assert len(samples) == STATES * suited.samples_per_state
    assert samples.state.shape == (len(samples), len(samples.norms), process.dimension)
    assert torch.isfinite(samples.state).all()
    assert samples.time.min() >= batch.start.min()
    if samples.target is not None:
        assert samples.target.shape == samples.state.shape
        assert torch.isfinite(samples.target).all()


def test_loss_has_one_finite_entry_for_each_sample_and_leaves_the_model_as_it_is(
    suited: Objective, default_score: ScoreModel, samples: Samples
) -> None:
    state = {name: value.clone() for name, value in default_score.state_dict().items()}
    loss = suited.loss(default_score, samples, seeded())
    assert all(torch.equal(value, state[name]) for name, value in default_score.state_dict().items())
    assert loss.shape == (len(samples),)
    assert loss.dtype == next(default_score.parameters()).dtype
    assert torch.isfinite(loss).all()


@pytest.mark.one_of_each_kind
def test_loss_of_prepared_samples_is_the_same(suited: Objective, default_score: ScoreModel, samples: Samples) -> None:
    prepared = suited.prepared(default_score, samples)
    expected = suited.loss(default_score, samples, seeded())
    torch.testing.assert_close(suited.loss(default_score, prepared, seeded()), expected, rtol=1e-4, atol=1e-4)
    if samples.target is not None:
        for rows in (slice(3, 9), torch.tensor([7, 3, 3])):
            some = suited.loss(default_score, prepared.rows(rows), seeded())
            torch.testing.assert_close(some, expected[rows], rtol=1e-3, atol=1e-3)


@pytest.mark.one_of_each_kind
def test_samples_are_a_function_of_their_generator_and_leave_the_states_as_they_are(
    process: Process, suited: Objective, batch: Batch, samples: Samples, watched: tuple[Batch, Samples]
) -> None:
    kept = {name: getattr(batch, name).clone() for name in ("state", "start", "time")}
    (_, again), other = watched, drawn(process, suited, batch, 8)
    assert all(torch.equal(getattr(batch, name), old) for name, old in kept.items())
    assert torch.equal(samples.state, again.state)
    if samples.target is not None:
        assert again.target is not None
        assert torch.equal(samples.target, again.target)
        assert not torch.equal(samples.state, other.state)


@pytest.mark.one_of_each_kind
def test_gradient_reaches_the_parameters_and_nothing_else(
    suited: Objective, default_score: ScoreModel, watched: tuple[Batch, Samples]
) -> None:
    states, samples = watched
    suited.loss(default_score, samples, seeded()).mean().backward()
    assert states.state.grad is None
    gradients = [parameter.grad for parameter in default_score.parameters()]
    default_score.zero_grad()
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)
    assert any(gradient.abs().sum() > 0 for gradient in gradients if gradient is not None)


@pytest.mark.one_of_each_kind
def test_an_empty_batch_gives_an_empty_loss(
    process: Process, suited: Objective, default_score: ScoreModel, batch: Batch
) -> None:
    empty = drawn(process, suited, batch.rows(slice(0, 0)))
    assert suited.loss(default_score, empty, seeded()).shape == (0,)
