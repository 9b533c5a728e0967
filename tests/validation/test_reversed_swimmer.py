"""The active swimmer reversed from t = 5 by its Fokker-Planck score: its own frames at t = 3, 1 and 0 come back."""

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from analysis import FokkerPlanck, energy_distance
from physcore.reverse import ReversedProcess, in_forward_time
from physcore.trajectory import frames
from simulations import ActiveSwimmer, simulate

pytestmark = [pytest.mark.validation, pytest.mark.timeout(1800)]

SWIMMER = ActiveSwimmer()
END, MIDDLE = 5.0, 0.5
PATHS = 8000
# Dense where the ridge forms: a state at x = 3.5 is carried there within 0.03.
TABLES = np.concatenate([np.linspace(0, 0.2, 41), np.linspace(0.2, 1, 41)[1:], np.linspace(1, END, 81)[1:]])


class BetweenTables:
    """A reference that is solved for at some times, linear in time between them, and stretched."""

    def __init__(self, reference: FokkerPlanck, stretch: float) -> None:
        self.reference, self.stretch = reference, stretch

    def score(self, state: Tensor, time: Tensor) -> Tensor:
        place = int(np.clip(np.searchsorted(TABLES, float(time), side="right") - 1, 0, len(TABLES) - 2))
        earlier, later = TABLES[place], TABLES[place + 1]
        share = (float(time) - earlier) / (later - earlier)
        scores = [self.reference.score(state, float(moment)) for moment in (earlier, later)]
        return self.stretch * ((1 - share) * scores[0] + share * scores[1])


@pytest.fixture(scope="module")
def reference() -> FokkerPlanck:
    reference = FokkerPlanck(SWIMMER, cells=(512, 256))
    reference.prepare([float(time) for time in TABLES])
    return reference


@pytest.fixture(scope="module")
def forward() -> xr.Dataset:
    times = [0.0, 1.0, 3.0, END]
    return simulate(
        SWIMMER, paths=2 * PATHS, duration=END, dt=1e-3, save_times=times, scheme="heun", dtype="float64", seed=1
    )


def ridge_deviation(first: xr.Dataset, second: xr.Dataset, time: float) -> float:
    """Return by how many standard errors two samples differ in their mean distance |v - x^3| from the ridge."""
    apart = []
    for data in (first, second):
        frame = data.sel(time=time, method="nearest")
        apart.append(np.abs(frame["v"] - frame["x"] ** 3).values)
    errors = [values.std() / len(values) ** 0.5 for values in apart]
    return float((apart[1].mean() - apart[0].mean()) / np.hypot(*errors))


def test_frames_come_back(reference: FokkerPlanck, forward: xr.Dataset) -> None:
    score = BetweenTables(reference, 1.0)
    final = frames(SWIMMER, forward, torch.float64)[-1]
    distances = []
    # The last half unit of time, in which the ridge opens, in finer steps.
    for begin, end, dt, kept in ((END, MIDDLE, 5e-3, [3.0, 1.0, MIDDLE]), (MIDDLE, 0.0, 1e-3, [0.0])):
        reversal = ReversedProcess(process=SWIMMER, score=score, end=begin, final=final)
        times = [begin - time for time in kept]
        data = simulate(
            reversal, paths=PATHS, duration=begin - end, dt=dt, save_times=times, scheme="heun", dtype="float64", seed=2
        )
        final = frames(SWIMMER, data, torch.float64)[-1]
        shared = [time for time in kept if time != MIDDLE]
        back = in_forward_time(data, begin)
        distances.append(energy_distance(SWIMMER, forward, back, times=shared))
        deviations = [ridge_deviation(forward, back, time) for time in shared]
        print(shared, deviations)
        assert max(map(abs, deviations)) < 5
    result = xr.concat(distances, "time")
    print(result[["value", "standard_error"]].to_dataframe())
    # Samples are drawn again from the finite number of final states, whose own energy distance is some 1e-3.
    assert (np.abs(result["value"]) < 5 * result["standard_error"]).all()
    assert (result["value"] < 0.01).all()


@pytest.mark.parametrize("stretch", [0.8, 1.25])
def test_a_score_of_another_length_would_be_noticed(
    reference: FokkerPlanck, forward: xr.Dataset, stretch: float
) -> None:
    final = frames(SWIMMER, forward, torch.float64)[-1]
    reversal = ReversedProcess(process=SWIMMER, score=BetweenTables(reference, stretch), end=END, final=final)
    data = simulate(
        reversal, paths=PATHS, duration=2.0, dt=5e-3, save_every="final", scheme="heun", dtype="float64", seed=2
    )
    deviation = ridge_deviation(forward, in_forward_time(data, END), 3.0)
    print(stretch, deviation)
    assert abs(deviation) > 10
