"""The reference table of the active swimmer, held to a coarser solution and to the entropy balance."""

import csv
from pathlib import Path

import numpy as np
import pytest

from analysis import FokkerPlanck
from simulations import ActiveSwimmer

TABLE = Path(__file__).parents[2] / "data" / "active_swimmer_moments.csv"
STEP = 0.05


@pytest.fixture(scope="module")
def swimmer() -> ActiveSwimmer:
    return ActiveSwimmer(friction=0.1, temperature=1.0)


@pytest.fixture(scope="module")
def solution(swimmer: ActiveSwimmer) -> FokkerPlanck:
    reference = FokkerPlanck(swimmer, cells=(512, 256))
    reference.prepare([3.0 - STEP, 3.0, 3.0 + STEP])
    return reference


def rows() -> dict[float, dict[str, float]]:
    with open(TABLE, newline="", encoding="utf-8") as file:
        read = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    return {row["time"]: row for row in read}


def moments(reference: FokkerPlanck, time: float) -> tuple[float, float]:
    density = reference.density(time)
    x, v = density["x"].values, density["v"].values
    weight = density.values * (x[1] - x[0]) * (v[1] - v[0])
    entropy = -np.sum(weight * np.log(np.maximum(density.values, np.finfo(float).tiny)))
    return float(np.sum(weight * x[:, None] ** 2)), float(entropy)


def test_table_agrees_with_a_coarser_solution(solution: FokkerPlanck) -> None:
    row = rows()[3.0]
    x_square, entropy = moments(solution, 3.0)
    # Relative 1e-3: the coarser solution knows the score to some 1e-5 in the square.
    assert solution.score_norm(3.0) == pytest.approx([row["score_x_square"], row["score_v_square"]], rel=1e-3)
    assert x_square == pytest.approx(row["x_square"], rel=1e-4)
    assert entropy == pytest.approx(row["entropy"], abs=1e-3)


def test_table_obeys_the_entropy_balance(swimmer: ActiveSwimmer, solution: FokkerPlanck) -> None:
    row = rows()[3.0]
    growth = (moments(solution, 3.0 + STEP)[1] - moments(solution, 3.0 - STEP)[1]) / (2 * STEP)
    divergence = -3 * row["x_square"] - swimmer.friction
    balanced = (growth - divergence) / (swimmer.friction * swimmer.temperature)
    # The central difference is good to a few 1e-4 of E s_v^2; an error of 1e-3 would show.
    assert row["score_v_square"] == pytest.approx(balanced, rel=4e-4)
    with pytest.raises(AssertionError):
        assert 1.001 * row["score_v_square"] == pytest.approx(balanced, rel=4e-4)
