"""The learned score of an Ornstein-Uhlenbeck process in ten dimensions, as well trained as a user would."""

import pytest
import torch

from analysis import Exact, compare
from analysis.table import error_table
from physcore.score import LocalDenoising, Training, fit
from simulations import OrnsteinUhlenbeck, simulate

DIMENSIONS = 10
TIMES = (1.0, 1.5, 2.0)


@pytest.mark.validation
def test_the_score_of_ten_dimensions_is_within_one_percent_of_the_exact_one() -> None:
    generator = torch.Generator().manual_seed(0)
    identity = torch.eye(DIMENSIONS)
    drift = 0.5 * torch.randn(DIMENSIONS, DIMENSIONS, generator=generator) / DIMENSIONS**0.5 - identity
    noise = 0.3 * torch.randn(DIMENSIONS, DIMENSIONS, generator=generator) / DIMENSIONS**0.5 + identity
    process = OrnsteinUhlenbeck(drift_matrix=drift.tolist(), noise_matrix=noise.tolist())
    trajectories = simulate(process, paths=20_000, duration=2.0, dt=1e-2, save_every=5, seed=1)
    score = fit(process, trajectories, objective=LocalDenoising(lag=0.5), training=Training(steps=2000), seed=1)
    comparison = compare(score, Exact(process), trajectories, times=TIMES)
    print(error_table(comparison.sel(selection=["full", "driven"]), TIMES))
    assert float(comparison["value"].sel(selection="full").max()) < 0.01
