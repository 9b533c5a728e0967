"""Error of a log density: none of an exact one, the Kullback-Leibler divergence of a known wrong one."""

import dataclasses

import numpy as np
import pytest
import torch

from analysis import log_density_error
from simulations import OrnsteinUhlenbeck, simulate

TRAP = OrnsteinUhlenbeck(initial_mean=(1.0, 0.0), initial_covariance=((0.5, 0.1), (0.1, 0.2)))


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_the_mean_error_is_the_divergence_between_gaussian_laws(shift: float) -> None:
    wrong = dataclasses.replace(TRAP, initial_mean=(1.0 + shift, 0.0))
    data = simulate(TRAP, paths=20_000, duration=0.5, dt=0.25, scheme="exact-linear", dtype="float64", seed=1)
    result = log_density_error(TRAP, wrong, TRAP, data)
    times = torch.tensor(data["time"].values)
    apart = (TRAP.mean(times) - wrong.mean(times)).unsqueeze(-1)
    divergence = (0.5 * apart.mT @ torch.linalg.solve(TRAP.covariance(times), apart)).flatten().numpy()
    for statistic, known in (("mean", divergence), ("mean square", divergence**2 + 2 * divergence)):
        entry = result.sel(statistic=statistic)
        assert (np.abs(entry["value"] - known) <= 5 * entry["standard_error"]).all()
    if shift > 0:
        assert (result["value"] > 10 * result["standard_error"]).all()
