"""What every registered parametrisation of a score keeps to."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import physcore.score
import physcore.transform
from physcore import Process, load_score, save_score
from physcore.registry import build, load, name_of, names, plain
from physcore.score import ScoreModel

Exported = Callable[[ModuleType], dict[str, Any]]


def states(process: Process, *shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, process.dimension, generator=torch.Generator().manual_seed(3), dtype=dtype)


@pytest.mark.one_of_each_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", [(), (5,), (3, 5)], ids=str)
def test_score_has_shape_and_dtype_of_the_state(
    process: Process, score: ScoreModel, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    state, time = states(process, *shape, dtype=dtype), score.time_range[1]
    expected = score(state, time)
    assert expected.shape == state.shape
    assert expected.dtype == dtype
    assert torch.isfinite(expected).all()
    for given in (torch.tensor(time), torch.full(shape, time), torch.full(shape, time, dtype=torch.float64)):
        torch.testing.assert_close(score(state, given), expected, rtol=1e-5, atol=1e-5)


def test_score_of_a_batch_is_the_score_of_each_state(process: Process, score: ScoreModel) -> None:
    state, times = states(process, 2, 3), torch.linspace(*score.time_range, 3)
    together = score(state, times)
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(together[i, j], score(state[i, j], times[j]), rtol=1e-4, atol=1e-5)


@pytest.mark.one_of_each_kind
def test_score_depends_on_time(process: Process, score: ScoreModel) -> None:
    first, last = score.time_range
    assert not torch.equal(score(states(process, 5), first), score(states(process, 5), last))


@pytest.mark.one_of_each_kind
def test_input_is_left_untouched(process: Process, score: ScoreModel) -> None:
    state = states(process, 5, dtype=torch.float32)
    kept = state.clone()
    score(state, score.time_range[0])
    assert torch.equal(state, kept)


@pytest.mark.one_of_each_kind
def test_wrong_dimension_is_refused(process: Process, score: ScoreModel) -> None:
    with pytest.raises(ValueError, match=f"{process.dimension} components"):
        score(torch.zeros(5, process.dimension + 1), 0.0)


def test_saved_and_loaded_score_is_the_same(process: Process, score: ScoreModel, tmp_path: Path) -> None:
    save_score(score, tmp_path / "score.pt")
    loaded = load_score(tmp_path / "score.pt")
    state = states(process, 50)
    for time in score.time_range:
        assert torch.equal(loaded(state, time), score(state, time))
    assert loaded.process == process
    assert loaded.time_range == score.time_range
    assert loaded.options == score.options
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


@pytest.mark.one_of_each_kind
def test_saved_score_of_another_process_is_refused(process: Process, score: ScoreModel, tmp_path: Path) -> None:
    save_score(score, tmp_path / "score.pt")
    name = next(name for name in names("physcore.processes") if name != name_of(type(process)))
    other = build("physcore.processes", name, {})
    with pytest.raises(ValueError, match=r"score\.pt"):
        load_score(tmp_path / "score.pt", process=other)


@pytest.mark.one_of_each_kind
def test_options_rebuild_the_model(process: Process, score: ScoreModel) -> None:
    with torch.random.fork_rng(devices=[]):
        fresh = build("physcore.scores", name_of(type(score)) or "", score.options, process, score.time_range)
    assert fresh.options == score.options
    shapes = {name: value.shape for name, value in fresh.state_dict().items()}
    assert shapes == {name: value.shape for name, value in score.state_dict().items()}


def test_weighted_score_is_the_score_in_its_frame(process: Process, score: ScoreModel) -> None:
    state = states(process, 20, dtype=torch.float32)
    time = torch.full((20,), score.time_range[1])
    prepared = score.prepare(state, time)
    weighted, frame = score.weighted(prepared), prepared.frame
    torch.testing.assert_close(frame.unweight(frame.weight(state)), state, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(frame.unweight(weighted), score(state, time), rtol=1e-4, atol=1e-5)


@pytest.mark.one_of_each_kind
def test_a_score_says_what_it_is_of(process: Process, score: ScoreModel) -> None:
    assert f"process={process!r}, time_range=" in repr(score)


def test_trained_range_is_closed_and_forgives_rounding(score: ScoreModel) -> None:
    first, last = score.time_range
    assert score.trained_at(first)
    assert score.trained_at(last * (1 + 1e-9))
    assert not score.trained_at(first - 0.01 * last)
    assert not score.trained_at(1.01 * last)


@pytest.mark.one_of_each_kind
def test_every_registered_score_is_built_by_a_registered_model(score: ScoreModel) -> None:
    assert load("physcore.scores", name_of(type(score)) or "") is type(score)


@pytest.mark.one_of_each_kind
def test_what_is_prepared_of_some_points_is_what_was_prepared_of_all(process: Process, score: ScoreModel) -> None:
    state = states(process, 20, dtype=torch.float32)
    prepared = score.prepare(state, torch.full((20,), score.time_range[1]))
    for rows in (slice(3, 9), torch.tensor([7, 3, 3])):
        some = prepared.rows(rows)
        torch.testing.assert_close(some.features, prepared.features[rows])
        torch.testing.assert_close(some.frame.weight(state[rows]), prepared.frame.weight(state)[rows])
        torch.testing.assert_close(score.weighted(some), score.weighted(prepared)[rows], rtol=1e-4, atol=1e-5)


def test_a_model_is_its_constructor_call_and_its_plain_values(exported: Exported) -> None:
    for name in names("physcore.models"):
        model = build(
            "physcore.models", name, {"network": {"name": "residual-mlp", "width": 8}, "components": "driven"}
        )
        assert eval(repr(model), exported(physcore.score, physcore.transform)) == model
        values = json.loads(json.dumps(plain(model)))
        assert build("physcore.models", values.pop("name"), values) == model


def test_a_score_of_driven_components_is_zero_in_the_others(process: Process, driven_score: ScoreModel) -> None:
    assert driven_score.components == process.driven
    score = driven_score(states(process, 20), driven_score.time_range[1])
    others = [i for i in range(process.dimension) if i not in process.driven]
    assert (score[:, others] == 0).all()
    assert torch.isfinite(score).all()
    assert (score[:, list(process.driven)] != 0).any(0).all()


def test_a_frame_of_driven_components_knows_nothing_of_the_others(process: Process, driven_score: ScoreModel) -> None:
    state = states(process, 20, dtype=torch.float32)
    prepared = driven_score.prepare(state, torch.full((20,), driven_score.time_range[1]))
    frame, driven = prepared.frame, torch.zeros(process.dimension).index_fill(0, torch.tensor(process.driven), 1.0)
    weighted = frame.weight(state)
    assert weighted.shape == driven_score.weighted(prepared).shape == (20, len(process.driven))
    torch.testing.assert_close(frame.weight(driven * state), weighted)
    torch.testing.assert_close(frame.unweight(weighted), driven * state, rtol=1e-3, atol=1e-4)
    some = prepared.rows(torch.tensor([7, 3, 3]))
    torch.testing.assert_close(some.frame.weight(state[[7, 3, 3]]), weighted[[7, 3, 3]])
    torch.testing.assert_close(
        frame.unweight(driven_score.weighted(prepared)),
        driven_score(state, driven_score.time_range[1]),
        rtol=1e-4,
        atol=1e-5,
    )


def test_a_saved_score_of_driven_components_remains_one(driven_score: ScoreModel, tmp_path: Path) -> None:
    save_score(driven_score, tmp_path / "score.pt")
    loaded, state = load_score(tmp_path / "score.pt"), states(driven_score.process, 20)
    assert loaded.components == driven_score.components
    assert torch.equal(loaded(state, loaded.time_range[0]), driven_score(state, loaded.time_range[0]))
