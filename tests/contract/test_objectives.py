"""What every registered objective keeps to."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
import xarray as xr

import physcore.score
from physcore import Process
from physcore.score import Batch, Objective, ScoreModel, Training
from physcore.score.batches import TrajectoryBatches

Exported = Callable[[ModuleType], dict[str, Any]]


@pytest.fixture
def batch(process: Process, trajectories: xr.Dataset, lag: float) -> Batch:
    batches = TrajectoryBatches(process, trajectories, lag, Training(), torch.device("cpu"))
    return batches.draw(33, batches.training_paths, torch.Generator().manual_seed(2))


def seeded(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_repr_is_the_constructor_call(objective: Objective, exported: Exported) -> None:
    assert eval(repr(objective), exported(physcore.score)) == objective


def test_an_objective_says_its_lag(objective: Objective) -> None:
    assert objective.lag >= 0


def test_loss_has_one_finite_entry_for_each_sample(objective: Objective, score: ScoreModel, batch: Batch) -> None:
    loss = objective.loss(score, batch, seeded())
    assert loss.shape == (33,)
    assert loss.dtype == next(score.parameters()).dtype
    assert torch.isfinite(loss).all()


def test_loss_is_a_function_of_its_generator(objective: Objective, score: ScoreModel, batch: Batch) -> None:
    first, second, other = (objective.loss(score, batch, seeded(seed)) for seed in (7, 7, 8))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_gradient_reaches_the_parameters_and_nothing_else(
    objective: Objective, score: ScoreModel, batch: Batch
) -> None:
    watched = Batch(state=batch.state.clone().requires_grad_(), start=batch.start.clone(), time=batch.time.clone())
    objective.loss(score, watched, seeded()).mean().backward()
    assert watched.state.grad is None
    gradients = [parameter.grad for parameter in score.parameters()]
    score.zero_grad()
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)
    assert any(gradient.abs().sum() > 0 for gradient in gradients if gradient is not None)


def test_input_and_model_are_left_untouched(objective: Objective, score: ScoreModel, batch: Batch) -> None:
    kept = [getattr(batch, name).clone() for name in ("state", "start", "time")]
    state = {name: value.clone() for name, value in score.state_dict().items()}
    objective.loss(score, batch, seeded())
    assert all(
        torch.equal(getattr(batch, name), old) for name, old in zip(("state", "start", "time"), kept, strict=True)
    )
    assert all(torch.equal(value, state[name]) for name, value in score.state_dict().items())


def test_an_empty_batch_gives_an_empty_loss(objective: Objective, score: ScoreModel, batch: Batch) -> None:
    empty = Batch(state=batch.state[:0], start=batch.start[:0], time=batch.time[:0])
    assert objective.loss(score, empty, seeded()).shape == (0,)
