"""Distances between two samples: closed forms of Gaussian laws, no distance between samples of one law."""

import math

import numpy as np
import pytest
import xarray as xr

from analysis import energy_distance, sliced_wasserstein_distance
from physcore import Process
from simulations import OrnsteinUhlenbeck, TiltedRing, simulate

SHIFT = 0.4


def gaussian(seed: int, *, shift: float = 0.0, paths: int = 8000, dimension: int = 2) -> xr.Dataset:
    """Return states of N(0, I), or of it shifted along x0, at one time."""
    states = np.random.default_rng(seed).normal(size=(dimension, paths, 1))
    states[0] += shift
    variables = {f"x{i}": (("path", "time"), values) for i, values in enumerate(states)}
    return xr.Dataset(variables, {"time": [0.0]})


def plane() -> Process:
    return OrnsteinUhlenbeck()


def line() -> Process:
    return OrnsteinUhlenbeck(drift_matrix=((-1.0,),), noise_matrix=((1.0,),))


def test_energy_distance_of_shifted_normals_on_a_line() -> None:
    result = energy_distance(line(), gaussian(1, dimension=1), gaussian(2, dimension=1, shift=SHIFT))
    # E|Z| of N(m, 2) twice, less 2 E|N(0, 2)|.
    folded = 2 / math.sqrt(math.pi) * math.exp(-(SHIFT**2) / 4) + SHIFT * math.erf(SHIFT / 2)
    known = 2 * folded - 4 / math.sqrt(math.pi)
    assert abs(float(result["value"][0]) - known) < 5 * float(result["standard_error"][0])
    assert known > 10 * float(result["standard_error"][0])


def test_energy_distance_of_one_law_is_zero_in_the_mean() -> None:
    runs = [energy_distance(plane(), gaussian(2 * i, paths=800), gaussian(2 * i + 1, paths=800)) for i in range(40)]
    deviations = np.array([float(run["value"][0] / run["standard_error"][0]) for run in runs])
    assert abs(deviations.mean()) < 5 / 40**0.5
    assert 0.6 < deviations.std() < 1.6  # of 40, each in units of an error known to 18 %


def test_sliced_wasserstein_distance_of_shifted_normals() -> None:
    result = sliced_wasserstein_distance(plane(), gaussian(1), gaussian(2, shift=SHIFT), directions=500, blocks=8)
    value, error, floor = (float(result[name][0]) for name in ("value", "standard_error", "floor"))
    # The mean of (shift cos)^2 over directions is half the square of the shift; the floor adds its square.
    assert abs(value - math.hypot(SHIFT / math.sqrt(2), floor)) < 5 * error
    assert abs(value - math.hypot(2 * SHIFT / math.sqrt(2), floor)) > 8 * error


def test_sliced_wasserstein_distance_on_a_line_is_the_shift_exactly() -> None:
    first = gaussian(1, dimension=1)
    result = sliced_wasserstein_distance(line(), first, first + 0.7)
    assert float(result["value"][0]) == pytest.approx(0.7, rel=1e-9)


def test_sliced_wasserstein_distance_of_one_law_is_its_floor() -> None:
    result = sliced_wasserstein_distance(plane(), gaussian(1), gaussian(2))
    error = math.hypot(float(result["standard_error"][0]), float(result["floor_standard_error"][0]))
    assert abs(float(result["value"][0] - result["floor"][0])) < 5 * error
    apart = sliced_wasserstein_distance(plane(), gaussian(1), gaussian(2, shift=SHIFT))
    assert float(apart["value"][0] - apart["floor"][0]) > 10 * float(apart["standard_error"][0])


def test_scales_are_the_lengths_that_variables_are_measured_in() -> None:
    first, second = gaussian(1, paths=640), gaussian(2, paths=640, shift=SHIFT)
    for distance in (energy_distance, sliced_wasserstein_distance):
        scaled = distance(plane(), first, second, scales={"x0": 2.0, "x1": 2.0})
        np.testing.assert_allclose(scaled["value"], distance(plane(), first, second)["value"] / 2, rtol=1e-9)


@pytest.mark.parametrize("distance", [energy_distance, sliced_wasserstein_distance], ids=["energy", "wasserstein"])
def test_times_are_those_that_both_have(distance: object) -> None:
    process = TiltedRing()
    first = simulate(process, paths=100, duration=0.4, dt=0.1, seed=1)
    second = simulate(process, paths=120, duration=0.6, dt=0.2, seed=2)
    assert callable(distance)
    np.testing.assert_allclose(distance(process, first, second, blocks=8)["time"], [0.0, 0.2, 0.4])
    with pytest.raises(ValueError, match="not saved"):
        distance(process, first, second, times=[0.6], blocks=8)
    with pytest.raises(ValueError, match="in common"):
        distance(process, first.isel(time=[1]), second, blocks=8)
    with pytest.raises(ValueError, match="`blocks`"):
        distance(process, first, second, blocks=51)
    with pytest.raises(ValueError, match="`scales`"):
        distance(process, first, second, blocks=8, scales={"theta": 0.0})
