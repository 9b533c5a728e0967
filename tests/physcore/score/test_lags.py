"""Lag schedules: what each promises, and that the automatic one finds what is known to be good."""

import dataclasses

import pytest
import torch

from physcore import Process
from physcore.score import FixedLag, LagSchedule, LocalDenoising, PathWeightedDenoising, Training, fit
from physcore.score.batches import TrajectoryBatches
from physcore.score.lags import AutomaticLag, ClockLag, TabulatedLag
from simulations import ActiveSwimmer, DoubleWell, LogisticPrior, OrnsteinUhlenbeck, simulate


def fitted(process: Process, schedule: LagSchedule, paths: int, duration: float, dt: float) -> LagSchedule:
    """The schedule that a fit of local denoising would use."""
    data = simulate(process, paths=paths, duration=duration, dt=dt, save_every=10, seed=7)
    pilot = TrajectoryBatches(process, data, Training(), torch.device("cpu")).pilot
    return LocalDenoising(lag=schedule).fitted(pilot).schedule


@pytest.fixture(scope="module")
def swimmer() -> LagSchedule:
    return fitted(ActiveSwimmer(), AutomaticLag(), paths=4500, duration=4.0, dt=5e-3)


def test_a_fixed_lag_is_the_same_at_all_times() -> None:
    assert torch.equal(FixedLag(gap=0.3).lag(torch.tensor([1.0, 7.0])), torch.tensor([0.3, 0.3]))
    with pytest.raises(ValueError, match="`gap`"):
        FixedLag(gap=-0.1)


def test_a_fixed_lag_over_which_the_linearised_drift_blows_up_is_shortened_with_a_warning() -> None:
    process = DoubleWell()
    data = simulate(process, paths=1024, duration=2.0, dt=1e-2, save_every=10, seed=7)
    pilot = TrajectoryBatches(process, data, Training(), torch.device("cpu")).pilot
    rate = float(process.jacobian(torch.zeros(1, 1, dtype=torch.float64), torch.zeros(1)))  # at the top of the barrier
    assert LocalDenoising(lag=0.5 / rate).fitted(pilot).schedule == FixedLag(gap=0.5 / rate)
    with pytest.warns(UserWarning, match="shortened"):
        schedule = LocalDenoising(lag=2 / rate).fitted(pilot).schedule
    late = torch.linspace(0.5, 2.0, 16, dtype=torch.float64)
    assert ((schedule.lag(late) > 0.9 / rate) & (schedule.lag(late) < 1.5 / rate)).all()
    for fit_for_it in (FixedLag(gap=2 / rate, growth=4.0), 2 / rate):  # allowed, and no kernel that could blow up
        objective = LocalDenoising if isinstance(fit_for_it, FixedLag) else PathWeightedDenoising
        assert objective(lag=fit_for_it).fitted(pilot).lag == fit_for_it


def test_the_clock_rule_has_the_lags_of_the_closed_form_for_a_linear_rate() -> None:
    process, gap = LogisticPrior(), 0.1
    schedule = fitted(process, ClockLag(gap=gap), paths=1024, duration=1.0, dt=2e-3)
    first, slope = process.beta_start, process.beta_end - process.beta_start
    time = torch.linspace(0.3, 1.0, 20, dtype=torch.float64)
    elapsed = process.clock(time) - gap
    start = (-first + (first**2 + 2 * slope * elapsed).sqrt()) / slope
    torch.testing.assert_close(schedule.lag(time), time - start, rtol=1e-2, atol=0)


def test_a_clock_rule_without_a_clock_is_refused() -> None:
    with pytest.raises(ValueError, match="no clock"):
        fitted(DoubleWell(), ClockLag(gap=0.1), paths=1024, duration=1.0, dt=1e-2)


def test_an_automatic_lag_without_a_kernel_to_judge_is_refused() -> None:
    data = simulate(DoubleWell(), paths=1024, duration=1.0, dt=1e-2, save_every=10, seed=7)
    pilot = TrajectoryBatches(DoubleWell(), data, Training(), torch.device("cpu")).pilot
    with pytest.raises(ValueError, match="kernel"):
        PathWeightedDenoising(lag=AutomaticLag()).fitted(pilot)


def test_the_automatic_lag_of_the_swimmer_is_the_known_good_one(swimmer: LagSchedule) -> None:
    late = torch.tensor([3.0, 4.0], dtype=torch.float64)
    # By quadrature at t = 3 the kernel's relative error is 0.8 % at lag 0.2 and 4 to 6.5 % at 0.4.
    assert (swimmer.lag(late) > 0.15).all()
    assert (swimmer.lag(late) < 0.45).all()
    bias = swimmer.bias(late)
    assert bias is not None
    assert ((bias > 0.002) & (bias < 0.08)).all()


def test_automatic_lags_never_start_before_the_first_frame(swimmer: LagSchedule) -> None:
    time = torch.linspace(0.0, 4.0, 400, dtype=torch.float64)
    starts = time - swimmer.lag(time)
    assert (starts >= -1e-9).all()
    assert (starts.diff() >= -1e-9).all()


def test_a_linear_process_has_lags_as_long_as_allowed_and_no_bias() -> None:
    schedule = fitted(OrnsteinUhlenbeck.rotating_trap(), AutomaticLag(), paths=2048, duration=2.0, dt=1e-2)
    late = torch.tensor([2.0], dtype=torch.float64)
    assert float(schedule.lag(late)) > 0.9
    bias = schedule.bias(late)
    assert bias is not None
    assert float(bias) < 0.05


def test_a_fitted_schedule_is_its_own_constructor_call(swimmer: LagSchedule) -> None:
    assert isinstance(swimmer, TabulatedLag)
    assert eval(repr(swimmer), {"TabulatedLag": TabulatedLag}) == swimmer
    assert dataclasses.replace(swimmer) == swimmer


def test_a_fit_with_automatic_lags_trains_from_the_second_frame_on() -> None:
    data = simulate(DoubleWell(), paths=2048, duration=1.0, dt=1e-2, save_every=10, seed=7)
    training = Training(steps=20, batch=64, validate_every=20)
    score = fit(DoubleWell(), data, objective=LocalDenoising(lag=AutomaticLag()), training=training, seed=1)
    assert score.time_range == pytest.approx((0.1, 1.0))
