"""Sums over pairs, signs, level and power of the test, and its standard errors."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from analysis.stein import (
    InverseMultiquadricKernel,
    SteinFeatures,
    SteinTest,
    independent_signs,
    most_powerful,
    persistent_signs,
    stein_matrix,
    stein_test,
)
from analysis.stein import pair_sums as sums_of_pairs
from analysis.stein.correlation import chosen_memory
from analysis.stein.pair_sums import pair_sums
from physcore.errors import NumericalError

KERNEL = InverseMultiquadricKernel(bandwidth=1.5)
TRIALS = 60


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def series(generator: torch.Generator, frames: int, kept: float) -> Tensor:
    """Return a stationary autoregressive path of N(0, I) in two dimensions."""
    states = [normal(generator, 2)]
    for _ in range(frames - 1):
        states.append(kept * states[-1] + math.sqrt(1 - kept**2) * normal(generator, 2))
    return torch.stack(states)


def repeated(trials: int, n: int, stretch: float) -> list[SteinTest]:
    generator = torch.Generator().manual_seed(n)
    tests = []
    for trial in range(trials):
        x = normal(generator, n, 2)
        tests.append(stein_test(SteinFeatures(x, -stretch * x), KERNEL, independent_signs(trial, 200, n)))
    return tests


def test_sums_over_tiles_are_those_of_the_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums_of_pairs, "MOST_ROWS", 7)
    x = normal(torch.Generator().manual_seed(1), 23, 3)
    features, signs = SteinFeatures(x, -x), independent_signs(3, 40, 23)
    sums, matrix = pair_sums(features, KERNEL, signs), stein_matrix(KERNEL, features, features)
    off = matrix - torch.diag(matrix.diagonal())
    torch.testing.assert_close(sums.diagonal, matrix.diagonal())
    torch.testing.assert_close(sums.rows, off.sum(1))
    assert sums.squares == pytest.approx(float(off.square().sum()))
    weights = signs.double()
    torch.testing.assert_close(sums.signed, torch.einsum("ri,ij,rj->r", weights, off, weights))


def test_a_test_is_made_of_these_sums() -> None:
    x = normal(torch.Generator().manual_seed(1), 30, 2)
    features, signs = SteinFeatures(x, -1.5 * x), independent_signs(3, 99, 30)
    test, matrix = stein_test(features, KERNEL, signs), stein_matrix(KERNEL, features, features)
    weights = signs.double()
    replicates = torch.einsum("ri,ij,rj->r", weights, matrix, weights) / 30**2
    assert test.v_statistic == pytest.approx(float(matrix.mean()))
    assert test.value == pytest.approx(float((matrix.sum() - matrix.trace()) / (30 * 29)))
    torch.testing.assert_close(test.bootstrap, replicates)
    assert test.p_value == pytest.approx((1 + int((replicates >= matrix.mean()).sum())) / 100)
    assert math.isnan(stein_test(features, KERNEL).p_value)


def test_the_signs_of_a_path_do_not_depend_on_what_else_is_drawn() -> None:
    many = independent_signs(5, 70, 40)
    assert set(many.unique().tolist()) == {-1, 1}
    torch.testing.assert_close(independent_signs(5, 33, 20), many[:33, :20])
    times = np.arange(12.0)
    along = persistent_signs(5, 30, 3, times, 4.0).reshape(30, 3, 12)
    torch.testing.assert_close(persistent_signs(5, 20, 2, times[:7], 4.0).reshape(20, 2, 7), along[:20, :2, :7])
    assert not torch.equal(independent_signs(6, 70, 40), many)


def test_signs_persist_for_their_memory() -> None:
    times = np.cumsum([0.0, 0.5, 1.5, 0.1, 2.0])
    signs = persistent_signs(1, 20_000, 2, times, 1.3).double().reshape(-1, 2, 5)
    correlation = torch.einsum("rpi,rpj->pij", signs, signs).mean(0) / 20_000
    expected = torch.from_numpy(np.exp(-np.abs(times[:, None] - times) / 1.3))
    assert float((correlation - expected).abs().max()) < 0.03
    assert float((signs[:, 0] * signs[:, 1]).mean(0).abs().max()) < 0.03
    assert float(signs.mean(0).abs().max()) < 0.03
    free = persistent_signs(1, 20_000, 1, times, 0.0).double()
    assert float((free[:, 1:] * free[:, :-1]).mean(0).abs().max()) < 0.03


def test_the_level_is_kept_and_a_wrong_score_is_found() -> None:
    trials = 300
    right = np.array([test.p_value for test in repeated(trials, 100, 1.0)])
    assert abs(np.mean(right <= 0.05) - 0.05) < 3 * math.sqrt(0.05 * 0.95 / trials)
    assert abs(np.mean(right <= 0.5) - 0.5) < 4 * math.sqrt(0.25 / trials)
    wrong = np.array([test.p_value for test in repeated(50, 100, 3.0)])
    assert np.mean(wrong <= 0.05) > 0.7


@pytest.mark.parametrize("stretch", [1.0, 1.8], ids=["right", "wrong"])
def test_standard_errors_are_the_scatter_of_values(stretch: float) -> None:
    tests = repeated(200, 100, stretch)
    scatter = np.std([test.value for test in tests], ddof=1)
    claimed = math.sqrt(np.mean([test.standard_error**2 for test in tests]))
    assert 0.8 < claimed / scatter < 1.3
    if stretch == 1.0:
        assert abs(np.mean([test.value for test in tests])) < 4 * scatter / math.sqrt(len(tests))


@pytest.fixture(scope="module")
def correlated() -> dict[str, list[SteinTest]]:
    """Tests of the right score along autoregressive paths, whose signs persist or do not."""
    generator, frames, kept = torch.Generator().manual_seed(8), 200, 0.7
    times = np.arange(float(frames))
    tests: dict[str, list[SteinTest]] = {"persistent": [], "independent": []}
    for trial in range(TRIALS):
        x = series(generator, frames, kept)
        features = SteinFeatures(x, -x)
        memory = chosen_memory(features, KERNEL, 1, stein_test(features, KERNEL).v_statistic, 1.0)
        for name, one in (("persistent", memory), ("independent", 0.0)):
            persistence = np.exp(-np.diff(times) / one) if one > 0 else np.zeros(frames - 1)
            signs = persistent_signs(trial, 100, 1, times, one)
            tests[name].append(stein_test(features, KERNEL, signs, persistence=torch.from_numpy(persistence)))
    return tests


def test_signs_that_persist_keep_the_level_along_paths(correlated: dict[str, list[SteinTest]]) -> None:
    levels = {name: np.mean([test.p_value <= 0.05 for test in tests]) for name, tests in correlated.items()}
    assert levels["persistent"] < 0.05 + 3 * math.sqrt(0.05 * 0.95 / TRIALS)
    assert levels["independent"] > 0.3


def test_correlation_is_not_taken_for_a_discrepancy(correlated: dict[str, list[SteinTest]]) -> None:
    values, errors = (
        np.array([getattr(test, name) for test in correlated["persistent"]]) for name in ("value", "standard_error")
    )
    scatter = values.std(ddof=1)
    assert 0.7 < math.sqrt(np.mean(errors**2)) / scatter < 1.5
    left = np.mean(values)
    whole = np.mean([test.value for test in correlated["independent"]])
    assert abs(left) < 0.25 * whole


def test_the_most_powerful_kernel_is_that_of_the_structure() -> None:
    """The score of a coarse law misses fine structure, which wide kernels do not see."""
    generator = torch.Generator().manual_seed(2)
    centres = 0.5 * torch.arange(-6.0, 7.0, dtype=torch.float64)
    x = centres[torch.randint(13, (600, 1), generator=generator)] + 0.1 * normal(generator, 600, 1)
    features = SteinFeatures(x, -x / 3.5)
    kernels = [InverseMultiquadricKernel(bandwidth=b) for b in (10.0, 0.2)]
    assert most_powerful([features, features], kernels) == 1


def test_too_few_states_and_numbers_that_are_not_finite_are_refused() -> None:
    x = normal(torch.Generator().manual_seed(1), 5, 2)
    with pytest.raises(ValueError, match="3 states"):
        stein_test(SteinFeatures(x[:2], -x[:2]), KERNEL)
    broken = x.clone()
    broken[2, 1] = math.nan
    with pytest.raises(NumericalError, match="not finite"):
        stein_test(SteinFeatures(x, broken), KERNEL)


def test_multipliers_that_do_not_belong_to_the_states_are_refused() -> None:
    x = normal(torch.Generator().manual_seed(1), 6, 2)
    features = SteinFeatures(x, -x)
    with pytest.raises(ValueError, match=r"`signs` must have shape \(replicate, 6\).*got \(9, 5\)"):
        stein_test(features, KERNEL, independent_signs(3, 9, 5))
    with pytest.raises(ValueError, match="no whole number of paths of 4 frames"):
        stein_test(features, KERNEL, independent_signs(3, 9, 6), persistence=torch.zeros(3))
