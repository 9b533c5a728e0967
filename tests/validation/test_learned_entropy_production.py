"""Entropy production by learned scores: within 2 % of what is known, and with the parities told apart."""

import dataclasses
import functools
import math

import numpy as np
import pytest
import torch

from analysis import FokkerPlanck, entropy_production_rate, stein_identities
from physcore.score import Local, LocalDenoising, PathWeightedDenoising, ScoreModel, Training, fit
from simulations import BreathingParabola, MexicanHat, OrnsteinUhlenbeck, simulate

pytestmark = pytest.mark.validation

KAPPA, TAU, U2, D = 1.0, 2.0, 1.0, 0.4
PROPELLED = OrnsteinUhlenbeck(
    drift_matrix=((-KAPPA, 1.0), (0.0, -1 / TAU)),
    noise_matrix=((math.sqrt(2 * D), 0.0), (0.0, math.sqrt(2 * U2 / TAU))),
)
CASES = {
    "rotating trap": (OrnsteinUhlenbeck.rotating_trap(stiffness=1.0, rotation=1.0), {}, 2.0),
    "gyrator": (OrnsteinUhlenbeck.brownian_gyrator(hot=4.0, cold=1.0), {}, 9 / 16),
    "propulsion even": (PROPELLED, {"x1": 1}, U2 / (D * (1 + KAPPA * TAU))),
    "propulsion odd": (PROPELLED, {"x1": -1}, KAPPA * TAU * U2 / (D * (1 + KAPPA * TAU))),
}


@functools.lru_cache
def learned(process: OrnsteinUhlenbeck) -> ScoreModel:
    data = simulate(process, paths=20_000, duration=2.0, dt=1e-2, save_every=5, scheme="heun", seed=1)
    training = Training(steps=3000, first_time=0.25)
    return fit(process, data, objective=LocalDenoising(lag=0.5), training=training, seed=1)


@pytest.mark.parametrize(("process", "parity", "known"), CASES.values(), ids=CASES)
def test_stationary_processes(process: OrnsteinUhlenbeck, parity: dict[str, int], known: float) -> None:
    covariance = process.stationary_law().covariance.tolist()
    score = learned(dataclasses.replace(process, initial_covariance=covariance))
    fresh = simulate(score.process, paths=100_000, duration=2.0, dt=0.25, scheme="exact-linear", seed=2)
    result = entropy_production_rate(score.process, score, fresh, parity=parity).sel(quantity="total")
    times = result["time"].values
    mean = float(result["produced"][-1]) / (times[-1] - times[0])
    error = float(result["produced_standard_error"][-1]) / (times[-1] - times[0])
    print(f"{mean:.4f} +- {error:.4f}, known {known:.4f}, off by {100 * (mean / known - 1):.2f} %")
    assert abs(mean / known - 1) < 0.02
    assert error < 0.01 * known
    print("largest Stein deviation", float(np.abs(stein_identities(score.process, score, fresh)["deviation"]).max()))


def test_the_breathing_parabola() -> None:
    """Its rate is a small difference of large terms, which takes targets along paths to see."""
    process = BreathingParabola()
    data, fresh = (
        simulate(process, paths=100_000, duration=3.0, dt=1e-2, save_every=5, scheme="heun", seed=seed)
        for seed in (7, 8)
    )
    training = Training(steps=4000, learning_rate=3e-3)
    score = fit(process, data, objective=PathWeightedDenoising(lag=1.0), training=training, seed=1)
    result = entropy_production_rate(process, score, fresh).sel(quantity="total")
    result = result.sel(time=slice(0.5, None))
    known = process.entropy_production_rate(torch.tensor(result["time"].values)).numpy()
    off = result["value"].values / known - 1
    print("off by", np.round(100 * off, 2), "%")
    assert np.abs(off[result["time"].values >= 1]).max() < 0.02
    total, exact = (np.trapezoid(rate, result["time"].values) for rate in (result["value"].values, known))
    assert abs(total / exact - 1) < 0.01


def test_a_driven_mexican_hat_beside_the_fokker_planck_equation() -> None:
    process = MexicanHat()
    times = np.arange(0.5, 2.01, 0.1)
    data, fresh = (
        simulate(process, paths=paths, duration=2.0, dt=2e-3, save_every=every, scheme="heun", seed=seed)
        for paths, every, seed in ((50_000, 25, 7), (100_000, 50, 8))
    )
    objective = PathWeightedDenoising(lag=0.3, gain="linear-quadratic")
    training = Training(steps=4000, learning_rate=3e-3, first_time=0.4)
    score = fit(process, data, objective=objective, model=Local(window=0.3), training=training, seed=1)
    reference = FokkerPlanck(process, cells=(256, 256))
    rates = [
        entropy_production_rate(process, one, fresh, times=times.tolist()).sel(quantity="total")["value"].values
        for one in (score, reference)
    ]
    off = rates[0] / rates[1] - 1
    print("off by", np.round(100 * off, 2), "%")
    assert np.abs(off).max() < 0.02
