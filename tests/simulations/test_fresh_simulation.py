"""Fresh trajectories: rounds are a function of seed and index, and a fit to them reaches the exact score."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from physcore import Process, SerialCommunicator
from physcore.communicator import Communicator
from physcore.errors import DataFileError, Stopped
from physcore.score import MLP, FreshTrajectories, Local, LocalDenoising, ScoreModel, Training, fit
from physcore.stopping import StopRequest
from simulations import ActiveSwimmer, FreshSimulation, OrnsteinUhlenbeck

TRAP = OrnsteinUhlenbeck.rotating_trap()
FRESH = FreshSimulation(paths=2048, duration=1.5, dt=0.01, save_every=5)
OBJECTIVE = LocalDenoising(lag=0.5)
NETWORK = Local(network=MLP(width=16, depth=1))
SMALL = Training(steps=120, batch=64, validate_every=40, checkpoint_every=45, steps_per_round=25)


def simulated(fresh: FreshTrajectories, index: int, seed: int = 3) -> xr.Dataset:
    return fresh.round(TRAP, index, seed=seed, device=torch.device("cpu"), communicator=SerialCommunicator())


def test_a_round_is_a_function_of_seed_and_index() -> None:
    first, again, next_round, other = (simulated(FRESH, *place) for place in ((4,), (4,), (5,), (4, 8)))
    xr.testing.assert_identical(first, again)
    assert not np.isin(first["x0"].values, next_round["x0"].values).mean() > 0.01
    assert not np.isin(first["x0"].values, other["x0"].values).mean() > 0.01
    np.testing.assert_array_equal(first["time"], next_round["time"])


def test_rounds_together_have_the_exact_law() -> None:
    states = np.concatenate([simulated(FRESH, index)["x0"].values[:, -1] for index in range(8)])
    moment = torch.tensor(1.5, dtype=torch.float64)
    variance = float(TRAP.law(moment).covariance[0, 0])
    error = variance * (2 / len(states)) ** 0.5
    # The Euler-Maruyama step of 0.01 makes the variance 0.5 % too large, which is half of this standard error.
    assert abs(states.var() - variance) < 5 * error
    assert abs(np.corrcoef(states[:2048], states[2048:4096])[0, 1]) < 5 / 2048**0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"paths": 0}, "`paths`"),
        ({"dt": 0.0}, "`dt`"),
        ({"dt": 0.4}, "`duration`"),
        ({"save_every": 4}, "`save_every`"),
        ({"save_every": "final"}, "two frames"),
        ({"save_times": (0.5,)}, "two frames"),
    ],
    ids=str,
)
def test_d6_settings_out_of_range_are_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(FRESH, **settings)


def test_a_scheme_that_does_not_suit_the_process_is_refused() -> None:
    with pytest.raises(ValueError, match="ExactLinear"):
        dataclasses.replace(FRESH, scheme="exact-linear").check(ActiveSwimmer())
    with pytest.raises(ValueError, match="unknown name 'euler'"):
        dataclasses.replace(FRESH, scheme="euler").check(TRAP)


def test_a_fit_to_fresh_trajectories_reaches_the_exact_score() -> None:
    training = Training(steps=600, batch=512, validate_every=200, steps_per_round=100)
    model = Local(network=MLP(width=32, depth=2))
    score = fit(TRAP, FRESH, objective=OBJECTIVE, model=model, training=training, seed=1)
    for time in (0.5, 1.0, 1.5):
        moment = torch.tensor(time, dtype=torch.float64)
        states = TRAP.law(moment).sample(4000, torch.Generator().manual_seed(99))
        exact = TRAP.score(states, moment)
        error = float((score(states, time) - exact).square().sum() / exact.square().sum())
        # As for stored trajectories: 0.2 to 0.5 % were seen, with the scheme's own 0.5 % of variance.
        assert error < 0.01


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recorded(FreshTrajectories):
    """Fresh trajectories that remember which rounds were asked for."""

    fresh: FreshSimulation = FRESH
    asked: list[int] = dataclasses.field(default_factory=list, repr=False, compare=False)

    def round(
        self, process: Process, index: int, *, seed: int, device: torch.device, communicator: Communicator
    ) -> xr.Dataset:
        self.asked.append(index)
        return self.fresh.round(process, index, seed=seed, device=device, communicator=communicator)


def learned(fresh: FreshTrajectories, **settings: Any) -> ScoreModel:
    return fit(TRAP, fresh, objective=OBJECTIVE, model=NETWORK, training=SMALL, seed=3, **settings)


def test_every_round_is_simulated_once_and_the_first_is_held_out() -> None:
    source = Recorded()
    learned(source)
    assert source.asked == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("stops", [(0,), (1,), (0, 0)], ids=str)
def test_a14_a_stopped_fit_simulates_its_round_again_and_ends_with_the_same_bits(
    tmp_path: Path, stops: tuple[int, ...], stop_after: Callable[[int], StopRequest]
) -> None:
    whole = learned(Recorded())
    for questions in stops:
        with pytest.raises(Stopped):
            learned(Recorded(), checkpoints=tmp_path, stop=stop_after(questions))
    assert not list(tmp_path.rglob("*.nc"))
    source = Recorded()
    resumed = learned(source, checkpoints=tmp_path)
    assert 2 not in source.asked, "rounds of steps that were done already need not be simulated again"
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert whole.history is not None
    assert resumed.history is not None
    xr.testing.assert_identical(whole.history.drop_vars("elapsed"), resumed.history.drop_vars("elapsed"))


def test_a8_a_fit_to_other_fresh_trajectories_is_not_continued(
    tmp_path: Path, stop_after: Callable[[int], StopRequest]
) -> None:
    with pytest.raises(Stopped):
        learned(FRESH, checkpoints=tmp_path, stop=stop_after(0))
    with pytest.raises(ValueError, match=r"source: FreshSimulation.*dt=0\.01.*dt=0\.05"):
        learned(dataclasses.replace(FRESH, dt=0.05, save_every=1), checkpoints=tmp_path)


def test_fresh_trajectories_shorter_than_the_lag_are_refused() -> None:
    with pytest.raises(DataFileError, match=r"lag of 0\.5"):
        learned(dataclasses.replace(FRESH, duration=0.5))
