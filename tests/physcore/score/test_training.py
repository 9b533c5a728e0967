"""The settings of a fit: the course of the learning rate, and what is refused."""

import itertools
import math

import pytest

from physcore.score import Training


def test_the_learning_rate_rises_in_a_line_and_falls_along_a_cosine() -> None:
    training = Training(steps=1000, learning_rate=0.02, warm_up=99)
    rates = [training.learning_rate_after(step) for step in range(1001)]
    assert rates[0] == pytest.approx(0.02 / 100)
    assert rates[49] == pytest.approx(0.01)
    assert rates[99] == max(rates) == 0.02
    assert rates[99 + 901 // 3] == pytest.approx(0.02 * (1 + math.cos(math.pi * 300 / 901)) / 2)
    assert rates[1000] == pytest.approx(0.0, abs=1e-15)
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[99:]))


def test_without_a_warm_up_the_first_step_has_the_largest_rate() -> None:
    assert Training(learning_rate=0.02).learning_rate_after(0) == 0.02


def test_a_constant_rate_stays_after_the_warm_up() -> None:
    training = Training(steps=100, learning_rate=0.02, warm_up=9, schedule="constant")
    assert training.learning_rate_after(4) == pytest.approx(0.01)
    assert {training.learning_rate_after(step) for step in range(9, 101)} == {0.02}


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"schedule": "linear"}, ValueError),
        ({"precision": "float16"}, ValueError),
        ({"warm_up": -1}, ValueError),
        ({"warm_up": 20_000}, ValueError),
        ({"warm_up": 0.1}, TypeError),
        ({"patience": 0}, ValueError),
        ({"patience": 1.0}, TypeError),
        ({"bad_steps": -1}, ValueError),
        ({"significance": -1.0}, ValueError),
        ({"significance": float("nan")}, ValueError),
        ({"steps_per_round": 0}, ValueError),
    ],
    ids=str,
)
def test_d6_what_is_out_of_range_is_refused_by_name(settings: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error, match=f"`{next(iter(settings))}`"):
        Training(**settings)  # type: ignore[arg-type]
