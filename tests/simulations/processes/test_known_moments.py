"""The known answers of every registered process against a small simulation; tests/validation holds the large one."""

import dataclasses
import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from physcore.registry import name_of

_place = importlib.util.spec_from_file_location(
    "known_answer_cases", Path(__file__).parents[1] / "known_answer_cases.py"
)
assert _place is not None
assert _place.loader is not None
cases = importlib.util.module_from_spec(_place)
_place.loader.exec_module(cases)

CASES, results, simulated = cases.CASES, cases.known_answers.results, cases.known_answers.simulated
LARGEST_Z, SHIFT = 5.0, 10.0
Compared = tuple[list[Any], list[Any]]


@pytest.fixture(scope="module", params=CASES)
def compared(request: pytest.FixtureRequest) -> Compared:
    """One simulation held against the answers of its own process, then against those of another."""
    case = CASES[request.param]
    states = simulated(case, seed=3, paths=case.few_paths, dt=case.coarse)
    own, other = (results(case, states, case.answers(p, case.coarse)) for p in (case.process, case.mistaken))
    return own, other


def test_moments_are_the_known_ones(compared: Compared) -> None:
    own, _ = compared
    assert own
    assert max(abs(result.z) for result in own) < LARGEST_Z, own


def test_an_answer_ten_standard_errors_off_would_be_noticed(compared: Compared) -> None:
    for result in compared[0]:
        wrong = dataclasses.replace(result, exact=result.exact + SHIFT * result.error)
        assert abs(wrong.z) > LARGEST_Z, result.name


def test_the_answers_of_another_process_would_be_noticed(compared: Compared) -> None:
    assert max(abs(result.z) for result in compared[1]) > LARGEST_Z


def test_every_process_is_compared() -> None:
    entries = importlib.metadata.entry_points(group="physcore.processes")
    ours = {entry.name for entry in entries if entry.value.startswith("simulations.")}
    assert ours == {name_of(type(case.process)) for case in CASES.values()}
