"""Best or last: only a difference beyond its noise counts, and a fit that no longer improves may end."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from physcore import load_score
from physcore.score import MLP, Local, LocalDenoising, ScoreModel, Training, fit
from physcore.score.selection import Selection
from simulations import OrnsteinUhlenbeck, simulate

TRAP = OrnsteinUhlenbeck.rotating_trap()
SMALL = Training(steps=120, batch=64, validate_every=20)
# The network unlearns at this learning rate, so that the best parameters are not the last.
WILD = dataclasses.replace(SMALL, learning_rate=1.0, warm_up=100, schedule="constant", average_decay=0.0)


def losses(mean: float, seed: int = 0) -> torch.Tensor:
    """Losses with noise in common, as those of the same samples have."""
    common = 10 * torch.randn(1000, generator=torch.Generator().manual_seed(1))
    return mean + common + torch.randn(1000, generator=torch.Generator().manual_seed(seed))


def parameters(value: float) -> torch.Tensor:
    return torch.full((3,), value)


@pytest.fixture(scope="module")
def data() -> xr.Dataset:
    return simulate(TRAP, paths=4096, duration=1.5, dt=0.01, save_every=5, seed=1)


def learned(data: xr.Dataset, training: Training, **settings: Path) -> ScoreModel:
    model = Local(network=MLP(width=16, depth=1))
    return fit(TRAP, data, objective=LocalDenoising(lag=0.5), model=model, training=training, seed=3, **settings)


def test_better_is_what_is_lower_by_more_than_the_noise_of_the_difference() -> None:
    selection = Selection(2.0)
    assert selection.offer(1, parameters(1), losses(5.0, 1)), "the first is the best so far"
    assert not selection.offer(2, parameters(2), losses(4.99, 2)), "lower by less than the noise"
    assert not selection.offer(3, parameters(3), losses(5.5, 3))
    assert selection.waited == 2
    assert selection.offer(4, parameters(4), losses(4.5, 4)), "0.5 is 11 standard errors, though 1.1 of unpaired ones"
    assert (selection.step, selection.waited) == (4, 0)


def test_the_last_is_the_result_unless_it_is_worse_by_more_than_the_noise() -> None:
    selection = Selection(2.0)
    selection.offer(1, parameters(1), losses(5.0, 1))
    assert selection.result(9, parameters(9), losses(5.01, 2))[0] == 9
    step, kept = selection.result(9, parameters(9), losses(5.5, 2))
    assert step == 1
    assert torch.equal(kept, parameters(1))


def test_what_is_not_finite_is_never_the_best_nor_the_result() -> None:
    selection = Selection(2.0)
    bad = losses(1.0)
    bad[17] = torch.nan
    selection.offer(1, parameters(1), losses(5.0))
    assert not selection.offer(2, parameters(2), bad)
    assert selection.result(3, parameters(3), bad)[0] == 1


def test_the_best_is_kept_as_it_was_when_the_parameters_go_on() -> None:
    selection, going = Selection(2.0), parameters(1)
    selection.offer(1, going, losses(5.0))
    going.fill_(7.0)
    assert torch.equal(selection.result(2, going, losses(9.0))[1], parameters(1))


def test_a_state_is_the_selection_again() -> None:
    selection = Selection(2.0)
    selection.offer(1, parameters(1), losses(5.0))
    selection.offer(2, parameters(2), losses(6.0))
    again = Selection(**selection.state())
    assert (again.step, again.waited, again.significance) == (1, 1, 2.0)
    assert again.result(3, parameters(3), losses(9.0))[0] == 1


def test_a_fit_that_gets_worse_returns_its_best(data: xr.Dataset, tmp_path: Path) -> None:
    score = learned(data, WILD, checkpoints=tmp_path)
    assert score.history is not None
    validation, best = score.history["validation_loss"], score.history.attrs["result_step"]
    assert best < 120
    assert float(validation.sel(step=best)) == float(validation.min()) < float(validation[-1])
    kept = load_score(tmp_path / "best.pt")
    for name, value in score.state_dict().items():
        assert torch.equal(value, kept.state_dict()[name]), name
    # With a significance that no difference reaches, the last parameters are the result, worse as they are.
    last = learned(data, dataclasses.replace(WILD, significance=1e9))
    assert last.history is not None
    assert last.history.attrs["result_step"] == 120
    states, time = torch.randn(500, 2, generator=torch.Generator().manual_seed(1)), 1.0
    exact = TRAP.score(states.double(), torch.tensor(time))
    assert (score(states, time) - exact).square().sum() < (last(states, time) - exact).square().sum()


def test_a_fit_that_goes_well_returns_its_last(data: xr.Dataset) -> None:
    history = learned(data, SMALL).history
    assert history is not None
    assert history.attrs["result_step"] == 120


def test_patience_ends_a_fit_that_no_longer_improves(data: xr.Dataset) -> None:
    history = learned(data, dataclasses.replace(WILD, steps=2000, patience=2)).history
    assert history is not None
    best, steps = history.attrs["result_step"], history["step"].values
    assert steps[-1] == best + 2 * 20 < 2000
    patient = learned(data, dataclasses.replace(SMALL, patience=2)).history
    assert patient is not None
    assert patient["step"].values[-1] == 120, "a fit that improves runs to its end"


def test_metrics_are_written_at_each_validation_and_are_the_history(data: xr.Dataset, tmp_path: Path) -> None:
    file = tmp_path / "below" / "losses.csv"
    history = learned(data, SMALL, metrics=file).history
    assert history is not None
    table = pd.read_csv(file)
    assert list(table.columns) == ["step", *history.data_vars]
    np.testing.assert_array_equal(table["step"], history["step"])
    for name in history.data_vars:
        np.testing.assert_array_equal(table[name], history[name])
    assert [path.name for path in file.parent.iterdir()] == ["losses.csv"]
