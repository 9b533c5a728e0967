"""The verb fit: it reaches exact scores, resumes to the same bits, and stops at what is not a number."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from physcore import Process
from physcore.errors import DataFileError, NumericalError, Stopped
from physcore.score import MLP, LagSchedule, Local, LocalDenoising, Samples, ScoreModel, Training, fit
from physcore.stopping import StopRequest
from simulations import DoubleWell, OrnsteinUhlenbeck, simulate

TRAP = OrnsteinUhlenbeck.rotating_trap()
TEN = OrnsteinUhlenbeck(
    drift_matrix=tuple(tuple(-1.0 if i == j else (0.5 if j == i + 1 else 0.0) for j in range(10)) for i in range(10)),
    noise_matrix=tuple(tuple(float(i == j) for j in range(10)) for i in range(10)),
)
SMALL = Training(steps=120, batch=64, validate_every=40, checkpoint_every=45)
NETWORK = Local(network=MLP(width=16, depth=1))


@pytest.fixture(scope="module")
def data() -> xr.Dataset:
    return simulate(TRAP, paths=4096, duration=1.5, dt=0.01, save_every=5, seed=1)


def relative_error(score: ScoreModel, process: OrnsteinUhlenbeck, time: float) -> float:
    """Relative Fisher divergence on fresh states of the exact law."""
    moment = torch.tensor(time, dtype=torch.float64)
    states = process.law(moment).sample(4000, torch.Generator().manual_seed(99))
    exact = process.score(states, moment)
    return float((score(states, time) - exact).square().sum() / exact.square().sum())


def test_fit_reaches_the_exact_score_in_two_dimensions(data: xr.Dataset) -> None:
    training = Training(steps=600, batch=512, validate_every=200)
    score = fit(
        TRAP,
        data,
        objective=LocalDenoising(lag=0.5),
        model=Local(network=MLP(width=32, depth=2)),
        training=training,
        seed=1,
    )
    # 0.2 to 0.5 % were seen for a few seeds: the scheme's own 0.5 % of variance (dt = 0.01) and 600 small batches.
    for time in (0.5, 1.0, 1.5):
        assert relative_error(score, TRAP, time) < 0.01
    # A sibling: the score of a process that turns twice as fast has the same law; one twice as stiff has not.
    assert relative_error(score, OrnsteinUhlenbeck.rotating_trap(stiffness=2.0), 1.5) > 0.1


def test_fit_approaches_the_exact_score_in_ten_dimensions() -> None:
    data = simulate(TEN, paths=4096, duration=1.0, dt=0.02, save_every=5, seed=1)
    training = Training(steps=300, batch=128, validate_every=300)
    score = fit(
        TEN,
        data,
        objective=LocalDenoising(lag=0.5),
        model=Local(network=MLP(width=64, depth=1)),
        training=training,
        seed=1,
    )
    # A loose bound: 300 steps on 4,096 paths; a zero score has error 1 and the score of the kernel alone about 0.5.
    assert relative_error(score, TEN, 0.75) < 0.05
    assert float((score(torch.zeros(1, 10), 0.75) ** 2).sum()) < 0.5


def check_same_fit(first: ScoreModel, second: ScoreModel) -> None:
    """Weights and history, but for the time it took, are the same bits."""
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    assert first.history is not None
    assert second.history is not None
    xr.testing.assert_identical(first.history.drop_vars("elapsed"), second.history.drop_vars("elapsed"))
    assert first.options == second.options


@pytest.fixture(scope="module")
def uninterrupted(data: xr.Dataset) -> ScoreModel:
    return fit(TRAP, data, objective=LocalDenoising(lag=0.5), model=NETWORK, training=SMALL, seed=3)


@pytest.mark.parametrize("stops", [(0,), (1,), (0, 0)], ids=str)
def test_a14_a_stopped_fit_resumes_to_the_same_bits(
    data: xr.Dataset,
    uninterrupted: ScoreModel,
    tmp_path: Path,
    stops: tuple[int, ...],
    stop_after: Callable[[int], StopRequest],
) -> None:
    settings = {"objective": LocalDenoising(lag=0.5), "model": NETWORK, "training": SMALL, "seed": 3}
    for questions in stops:
        with pytest.raises(Stopped, match="again"):
            fit(TRAP, data, **settings, checkpoints=tmp_path, stop=stop_after(questions))
    check_same_fit(fit(TRAP, data, **settings, checkpoints=tmp_path), uninterrupted)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Failing(LocalDenoising):
    """An objective that fails once it has been used a number of times."""

    lag: float | LagSchedule = 0.5
    calls: list[int] = dataclasses.field(default_factory=list, repr=False, compare=False)
    fails_at: int = dataclasses.field(default=10**9, repr=False)
    with_nan: bool = dataclasses.field(default=False, repr=False)

    def loss(self, model: ScoreModel, samples: Samples, generator: torch.Generator) -> Tensor:
        self.calls.append(1)
        if len(self.calls) == self.fails_at and not self.with_nan:
            raise KeyboardInterrupt
        loss = super().loss(model, samples, generator)
        return loss * torch.nan if len(self.calls) == self.fails_at else loss


@pytest.mark.parametrize("fails_at", [60, 97], ids=["after-the-first-checkpoint", "after-the-second"])
def test_a14_a_killed_fit_resumes_from_its_checkpoint_to_the_same_bits(
    data: xr.Dataset, tmp_path: Path, fails_at: int
) -> None:
    settings = {"model": NETWORK, "training": SMALL, "seed": 3}
    whole = fit(TRAP, data, objective=Failing(), **settings)
    with pytest.raises(KeyboardInterrupt):
        fit(TRAP, data, objective=Failing(fails_at=fails_at), **settings, checkpoints=tmp_path)
    resumed = Failing()
    check_same_fit(fit(TRAP, data, objective=resumed, **settings, checkpoints=tmp_path), whole)
    assert len(resumed.calls) < 110, "the fit did not resume but started anew"


def test_a_fit_is_a_function_of_its_seed(data: xr.Dataset, uninterrupted: ScoreModel) -> None:
    settings = {"objective": LocalDenoising(lag=0.5), "model": NETWORK, "training": SMALL}
    check_same_fit(fit(TRAP, data, **settings, seed=3), uninterrupted)
    other = fit(TRAP, data, **settings, seed=4)
    assert not torch.equal(other(torch.ones(1, 2), 1.0), uninterrupted(torch.ones(1, 2), 1.0))


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 4},
        {"objective": LocalDenoising(lag=0.4)},
        {"model": Local(network=MLP(width=17, depth=1))},
        {"training": dataclasses.replace(SMALL, learning_rate=1e-3)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a8_checkpoints_of_another_fit_are_refused_by_name(
    data: xr.Dataset, tmp_path: Path, changed: dict[str, object], stop_after: Callable[[int], StopRequest]
) -> None:
    settings = {"objective": LocalDenoising(lag=0.5), "model": NETWORK, "training": SMALL, "seed": 3}
    with pytest.raises(Stopped):
        fit(TRAP, data, **settings, checkpoints=tmp_path, stop=stop_after(0))
    with pytest.raises(ValueError, match=next(iter(changed))):
        fit(TRAP, data, **{**settings, **changed}, checkpoints=tmp_path)


def test_a8_checkpoints_of_a_fit_to_other_trajectories_are_refused(
    data: xr.Dataset, tmp_path: Path, stop_after: Callable[[int], StopRequest]
) -> None:
    settings = {"objective": LocalDenoising(lag=0.5), "model": NETWORK, "training": SMALL, "seed": 3}
    with pytest.raises(Stopped):
        fit(TRAP, data, **settings, checkpoints=tmp_path, stop=stop_after(0))
    with pytest.raises(ValueError, match="paths"):
        fit(TRAP, data.isel(path=slice(0, 3000)), **settings, checkpoints=tmp_path)


def test_held_out_paths_leave_no_trace_in_the_weights(data: xr.Dataset, uninterrupted: ScoreModel) -> None:
    changed = data.copy(deep=True)
    changed["x0"][-200:] = 7.0
    other = fit(TRAP, changed, objective=LocalDenoising(lag=0.5), model=NETWORK, training=SMALL, seed=3)
    for name, value in uninterrupted.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])
    assert uninterrupted.history is not None
    assert other.history is not None
    assert not np.array_equal(uninterrupted.history["validation_loss"], other.history["validation_loss"])
    np.testing.assert_array_equal(uninterrupted.history["training_loss"], other.history["training_loss"])


def test_history_records_the_losses(uninterrupted: ScoreModel) -> None:
    history = uninterrupted.history
    assert history is not None
    np.testing.assert_array_equal(history["step"], [40, 80, 120])
    assert set(history.data_vars) == {
        "training_loss",
        "validation_loss",
        "validation_standard_error",
        "learning_rate",
        "elapsed",
    }
    assert float(history["learning_rate"][-1]) == pytest.approx(0.0, abs=1e-12)
    assert np.isfinite(history["validation_loss"]).all()
    assert (history["validation_standard_error"] > 0).all()
    assert history["elapsed"].attrs["units"] == "s"


def test_a_fitted_score_is_frozen(uninterrupted: ScoreModel) -> None:
    assert not any(parameter.requires_grad for parameter in uninterrupted.parameters())
    assert uninterrupted.time_range == pytest.approx((0.5, 1.5))


def test_c6_a_state_that_is_not_finite_is_an_error_with_its_place(data: xr.Dataset) -> None:
    bad = data.copy(deep=True)
    bad["x1"][17, 5] = np.nan
    with pytest.raises(NumericalError, match=r"time 0\.25, path index 17"):
        fit(TRAP, bad, objective=LocalDenoising(lag=0.5), training=SMALL, seed=3)


def test_e4_a_loss_that_is_not_finite_ends_the_fit_and_keeps_the_checkpoint(data: xr.Dataset, tmp_path: Path) -> None:
    settings = {"model": NETWORK, "training": SMALL, "seed": 3, "checkpoints": tmp_path}
    with pytest.raises(NumericalError, match=r"step 60.*learning_rate"):
        fit(TRAP, data, objective=Failing(fails_at=61, with_nan=True), **settings)
    assert [path.name for path in tmp_path.glob("*.pt")] == ["step000000045.pt"]
    content = torch.load(next(tmp_path.glob("*.pt")), weights_only=True)
    assert all(torch.isfinite(value).all() for value in content["optimization"]["score"].values())


def test_c5_trajectories_of_another_process_are_refused(data: xr.Dataset) -> None:
    with pytest.raises(DataFileError, match=r"lack the variables \['x'\].*x0"):
        fit(DoubleWell(), data, training=SMALL, seed=1)


def test_dimensions_are_found_by_name(data: xr.Dataset, uninterrupted: ScoreModel) -> None:
    score = fit(
        TRAP, data.transpose("time", "path"), objective=LocalDenoising(lag=0.5), model=NETWORK, training=SMALL, seed=3
    )
    check_same_fit(score, uninterrupted)


def test_a_user_s_process_without_jacobian_or_initial_density_can_be_fitted() -> None:
    class Plain(Process):
        variables = TRAP.variables

        def drift(self, state: Tensor, time: Tensor) -> Tensor:
            return TRAP.drift(state, time)

        def noise(self, time: Tensor) -> Tensor:
            return TRAP.noise(time)

        def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
            return TRAP.sample_initial(paths, generator)

    data = simulate(Plain(), paths=1024, duration=1.0, dt=0.05, seed=1)
    score = fit(Plain(), data, objective=LocalDenoising(lag=0.4), model=NETWORK, training=SMALL, seed=1)
    assert relative_error(score, TRAP, 0.8) < 0.2


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"steps": 0}, ValueError),
        ({"steps": 1.5}, TypeError),
        ({"batch": True}, TypeError),
        ({"learning_rate": float("nan")}, ValueError),
        ({"learning_rate": -1.0}, ValueError),
        ({"average_decay": 1.0}, ValueError),
        ({"held_out": 0.0}, ValueError),
        ({"held_out": 1.0}, ValueError),
        ({"early_emphasis": 0.5}, ValueError),
        ({"first_time": float("inf")}, ValueError),
        ({"gradient_limit": 0.0}, ValueError),
    ],
    ids=str,
)
def test_d6_training_out_of_range_is_refused_by_name(settings: dict[str, float], error: type[Exception]) -> None:
    with pytest.raises(error, match=f"`{next(iter(settings))}`"):
        Training(**settings)
