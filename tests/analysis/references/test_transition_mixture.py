"""The average of transition kernels: what it knows, and whether it knows how well."""

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from analysis import FokkerPlanck, TransitionMixture
from physcore import SolvableProcess
from physcore.score import GaussianClosure, LocalLinear
from physcore.trajectory import frames
from simulations import DoubleWell, OrnsteinUhlenbeck, simulate

TRAP = OrnsteinUhlenbeck(
    drift_matrix=((-1.0, -1.0), (0.5, -0.7)), noise_matrix=((0.0,), (0.8,)), initial_covariance=((0.5, 0.1), (0.1, 0.2))
)


def paths_of(process: SolvableProcess, paths: int, seed: int) -> xr.Dataset:
    return simulate(process, paths=paths, duration=2.0, dt=0.05, save_every=2, dtype="float64", seed=seed)


@pytest.fixture(scope="module")
def pool() -> xr.Dataset:
    return paths_of(TRAP, 4000, 3)


@pytest.fixture(scope="module")
def states() -> Tensor:
    """States at time 1 of other paths."""
    return TRAP.law(torch.tensor(1.0, dtype=torch.float64)).sample(1000, torch.Generator().manual_seed(4))


def relative_error(estimate: Tensor, exact: Tensor) -> float:
    return float((estimate - exact).square().sum() / exact.square().sum())


def test_the_mean_error_of_some_pools_is_the_one_they_estimate(states: Tensor) -> None:
    exact = TRAP.score(states, torch.tensor(1.0, dtype=torch.float64))
    mixtures = [TransitionMixture(TRAP, paths_of(TRAP, 4000, seed), lag=0.8) for seed in range(4)]
    scores = [mixture.score(states, 1.0) for mixture in mixtures]
    error = np.mean([relative_error(score, exact) for score in scores])
    assert error < 0.02
    assert 0.5 < np.mean([mixture.error_estimate(1.0) for mixture in mixtures]) / error < 2
    driven = np.mean([relative_error(score[:, 1], exact[:, 1]) for score in scores])
    assert 0.5 < np.mean([mixture.error_estimate(1.0, [1]) for mixture in mixtures]) / driven < 2
    # A sibling: of a quarter of the paths the error is another, and so is what they estimate.
    few = TransitionMixture(TRAP, paths_of(TRAP, 1000, 0), lag=0.8)
    assert few.error_estimate(1.0) > 2 * error


def test_of_a_linear_process_the_longest_lag_is_chosen(pool: xr.Dataset) -> None:
    assert TransitionMixture(TRAP, pool).lag(1.0) == pytest.approx(1.0)


@pytest.fixture(scope="module")
def well() -> tuple[DoubleWell, xr.Dataset, FokkerPlanck]:
    process = DoubleWell()
    reference = FokkerPlanck(process, cells=(1024,))
    reference.prepare([1.0])
    return (
        process,
        simulate(process, paths=8000, duration=1.0, dt=0.01, save_every=5, dtype="float64", seed=5),
        reference,
    )


def test_the_bias_of_a_kernel_that_is_too_long_is_known(well: tuple[DoubleWell, xr.Dataset, FokkerPlanck]) -> None:
    process, paths, reference = well
    states = frames(process, paths.sel(time=[1.0], method="nearest").isel(path=slice(4000, None)), torch.float64)[0]
    exact = reference.score(states, 1.0)
    for kernel, lag in ((LocalLinear(), 0.1), (GaussianClosure(), 0.2)):
        mixture = TransitionMixture(process, paths, kernel=kernel, lag=lag, paths=4000)
        error = relative_error(mixture.score(states, 1.0), exact)
        judged = mixture._error(1.0)
        assert 0.5 < mixture.error_estimate(1.0) / error < 2
        assert float(judged.bias) > float(judged.variance)  # a variance alone would not tell


def test_the_chosen_lag_is_nearly_the_best(well: tuple[DoubleWell, xr.Dataset, FokkerPlanck]) -> None:
    process, paths, reference = well
    states = frames(process, paths.sel(time=[1.0], method="nearest").isel(path=slice(4000, None)), torch.float64)[0]
    exact = reference.score(states, 1.0)

    def error(lag: float | None) -> float:
        mixture = TransitionMixture(process, paths, kernel=LocalLinear(), lag=lag, paths=4000)
        return relative_error(mixture.score(states, 1.0), exact)

    errors = [error(lag) for lag in (0.05, 0.1, 0.2, 0.4)]
    assert error(None) < 2 * min(errors)
    assert max(errors) > 4 * min(errors)


def test_score_is_the_gradient_of_the_log_density_and_the_density_is_normalized(
    well: tuple[DoubleWell, xr.Dataset, FokkerPlanck],
) -> None:
    process, paths, _ = well
    mixture = TransitionMixture(process, paths, lag=0.1, paths=1000)
    grid = torch.linspace(-6, 6, 6001, dtype=torch.float64).unsqueeze(-1)
    density = mixture.log_density(grid, 1.0)
    assert float(density.exp().sum() * 0.002) == pytest.approx(1, abs=1e-4)
    middle = slice(2000, 4001)
    slope = torch.gradient(density, spacing=0.002)[0][middle]
    torch.testing.assert_close(mixture.score(grid, 1.0)[middle, 0], slope, rtol=1e-3, atol=1e-3)


def test_where_the_lag_reaches_before_the_first_frame_the_first_frame_is_taken(pool: xr.Dataset) -> None:
    mixture = TransitionMixture(TRAP, pool, lag=0.55, paths=100)
    assert mixture.lag(0.3) == pytest.approx(0.3)
    assert mixture.lag(2.0) == pytest.approx(0.6)  # of frames 0.1 apart the last at least as long before


def test_any_time_after_the_first_frame_has_a_score(pool: xr.Dataset, states: Tensor) -> None:
    between = 1.0123
    mixture = TransitionMixture(TRAP, pool, lag=0.8)
    exact = TRAP.score(states, torch.tensor(between, dtype=torch.float64))
    assert relative_error(mixture.score(states, between), exact) < 0.02


@pytest.mark.parametrize("time", [0.0, -1.0])
def test_a_time_without_a_frame_before_is_refused(pool: xr.Dataset, time: float) -> None:
    with pytest.raises(ValueError, match="after the first frame"):
        TransitionMixture(TRAP, pool, lag=0.5).prepare([time])


@pytest.mark.parametrize("lag", [0.0, -0.1, np.inf, np.nan])
def test_a_lag_that_is_none_is_refused(pool: xr.Dataset, lag: float) -> None:
    with pytest.raises(ValueError, match="`lag`"):
        TransitionMixture(TRAP, pool, lag=lag)


def test_too_few_paths_to_judge_a_lag_by_are_refused_and_have_a_score_with_a_given_one(
    pool: xr.Dataset, states: Tensor
) -> None:
    with pytest.raises(ValueError, match="22 paths or more; got 10"):
        TransitionMixture(TRAP, pool, paths=10).prepare([1.0])
    assert torch.isfinite(TransitionMixture(TRAP, pool, paths=10, lag=0.5).score(states, 1.0)).all()
