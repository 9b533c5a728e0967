"""The known answers of every registered process against twenty seeds: deviations with mean 0 and spread 1.

Linear processes under Euler-Maruyama are held against the exact law of its chain. Elsewhere the scheme has weak order
2, so that its error is read off, fifteen times enlarged, in the difference to runs with four times the step.
"""

import dataclasses
import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

_place = importlib.util.spec_from_file_location(
    "known_answer_cases", Path(__file__).parents[1] / "simulations" / "known_answer_cases.py"
)
assert _place is not None
assert _place.loader is not None
cases = importlib.util.module_from_spec(_place)
_place.loader.exec_module(cases)

CASES, known_answers = cases.CASES, cases.known_answers
Array = NDArray[np.float64]

SEEDS = range(20)
LARGEST_Z = 5.0
SHIFT = 10.0  # standard errors by which a wrong answer is off
ENLARGED = known_answers.COARSENING**2 - 1
LARGEST_ERROR = 0.25  # of the scheme, in standard errors of a seed

pytestmark = pytest.mark.validation


@dataclasses.dataclass(frozen=True)
class Study:
    """What twenty seeds say of the answers of a case.

    Arguments:
        name: Name of the case.
        rows: The results of the first seed, which name the answers.
        z: Deviations, shape ``(answer, seed)``.
        wrong: Deviations from the answers of another process, shape ``(answer, seed)``.
        scheme_error: Error of the scheme in standard errors of a seed, shape ``(answer,)``, zero where it is exact.
    """

    name: str
    rows: Sequence[Any]
    z: Array
    wrong: Array
    scheme_error: Array


def deviations(runs: Sequence[Sequence[Any]]) -> Array:
    return np.array([[result.z for result in run] for run in runs]).T


@pytest.fixture(scope="module", params=CASES)
def study(request: pytest.FixtureRequest) -> Study:
    case = CASES[request.param]
    answers, other = (case.answers(process, case.dt) for process in (case.process, case.mistaken))
    right, wrong, coarse = [], [], []
    for seed in SEEDS:
        states = known_answers.simulated(case, seed=seed, paths=case.paths, dt=case.dt)
        right.append(known_answers.results(case, states, answers))
        wrong.append(known_answers.results(case, states, other))
        if not case.exact:
            states = known_answers.simulated(case, seed=seed + len(SEEDS), paths=case.paths, dt=case.coarse)
            coarse.append(known_answers.results(case, states, answers))
    z = deviations(right)
    error = np.zeros(len(z)) if case.exact else (deviations(coarse).mean(1) - z.mean(1)) / ENLARGED
    return Study(request.param, right[0], z, deviations(wrong), error)


def spread_bounds(samples: int) -> tuple[float, float]:
    """Return what the standard deviation of standard normals leaves as rarely, on either side, as one leaves 5."""
    rarely = scipy.stats.norm.sf(LARGEST_Z)
    law = scipy.stats.chi2(samples - 1)
    return math.sqrt(law.ppf(rarely) / (samples - 1)), math.sqrt(law.isf(rarely) / (samples - 1))


def failures(rows: Sequence[Any], z: Array) -> list[str]:
    """Return the answers of which a |z|, the mean z or the standard deviation of z is out of bounds, and which."""
    low, high = spread_bounds(z.shape[1])
    found = []
    for row, values in zip(rows, z, strict=True):
        worst, mean, spread = np.abs(values).max(), values.mean(), values.std(ddof=1)
        if not worst < LARGEST_Z:
            found.append(f"{row.name} at {row.time:g}: largest |z| {worst:.1f}")
        if not abs(mean) < LARGEST_Z / math.sqrt(len(values)):
            found.append(f"{row.name} at {row.time:g}: mean z {mean:.2f}")
        if not low < spread < high:
            found.append(f"{row.name} at {row.time:g}: standard deviation of z {spread:.2f}")
    return found


def table(study: Study) -> str:
    """Return the lines of a case: answer, time, exact value and error of a seed, then the deviations of all seeds."""
    lines = [f"{'':>34}  {'time':>5}  {'exact':>10}  {'error':>8}  mean z  sd z  worst  scheme"]
    for row, z, error in zip(study.rows, study.z, study.scheme_error, strict=True):
        lines.append(
            f"{row.name:>34}  {row.time:5g}  {row.exact:10.5f}  {row.error:8.2g}  {z.mean():6.2f}  {z.std(ddof=1):4.2f}"
            f"  {np.abs(z).max():5.2f}  {error:6.2f}"
        )
    return "\n".join([study.name, *lines])


def test_deviations_of_twenty_seeds_are_those_of_standard_normals(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print("\n" + table(study))
    assert not failures(study.rows, study.z)


def test_the_error_of_the_scheme_is_far_below_the_standard_error(study: Study) -> None:
    sampling = LARGEST_Z * math.sqrt(2 / len(SEEDS)) / ENLARGED
    assert np.abs(study.scheme_error).max() + sampling < LARGEST_ERROR, table(study)


def test_an_answer_ten_standard_errors_off_would_be_noticed(study: Study) -> None:
    for row, z in zip(study.rows, study.z, strict=True):
        assert len(failures([row], z[None] + SHIFT)) == 2, "largest and mean"


def test_deviations_too_wide_or_too_alike_would_be_noticed(study: Study) -> None:
    for row, z in zip(study.rows, study.z, strict=True):
        centred = (z - z.mean()) / z.std(ddof=1)
        assert failures([row], 2.2 * centred[None])
        assert failures([row], 0.25 * centred[None])


def test_the_answers_of_another_process_would_be_noticed(study: Study) -> None:
    assert failures(study.rows, study.wrong)


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].chain])
def test_the_law_of_the_continuum_is_told_from_that_of_the_chain(name: str) -> None:
    case, runs = CASES[name], []
    answers = dataclasses.replace(case, chain=False).answers(case.process, case.dt)
    for seed in SEEDS:
        states = known_answers.simulated(case, seed=seed, paths=case.paths, dt=case.dt)
        runs.append(known_answers.results(case, states, answers))
    assert failures(runs[0], deviations(runs))


def test_bounds_of_the_spread_leave_room_for_twenty_seeds() -> None:
    low, high = spread_bounds(len(SEEDS))
    assert 0.25 < low < 0.5
    assert 1.6 < high < 2.2
