"""Probability current: the swirl of a rotating trap, none in equilibrium, and the marginal of more variables."""

import dataclasses
import math

import numpy as np
import pytest
import torch
import xarray as xr

from analysis import Exact, mean_local_velocity, probability_current
from simulations import ActiveSwimmer, OrnsteinUhlenbeck, simulate

EDGES = [np.linspace(-2.0, 2.0, 9)] * 2
ROTATION = 0.8


def stationary(process: OrnsteinUhlenbeck) -> OrnsteinUhlenbeck:
    return dataclasses.replace(process, initial_covariance=process.stationary_law().covariance.tolist())


def sampled(process: OrnsteinUhlenbeck, paths: int = 40_000) -> xr.Dataset:
    return simulate(process, paths=paths, duration=0.5, dt=0.5, scheme="exact-linear", dtype="float64", seed=1)


TRAP = stationary(OrnsteinUhlenbeck.rotating_trap(stiffness=1.0, rotation=ROTATION))


def exact_current() -> np.ndarray:
    """Return the current of the trap averaged over the bins, shape (direction, x, y): J = a (-y, x) q, q = N(0, 1)."""
    edges = EDGES[0]
    cumulative = np.array([0.5 * math.erf(edge / math.sqrt(2)) for edge in edges])
    density = np.exp(-(edges**2) / 2) / math.sqrt(2 * math.pi)
    mass, moment = np.diff(cumulative), -np.diff(density)
    area = np.diff(edges)[:, None] * np.diff(edges)
    return ROTATION * np.stack([-mass[:, None] * moment, moment[:, None] * mass]) / area


def test_current_and_density_of_a_rotating_trap() -> None:
    result = probability_current(TRAP, Exact(TRAP), sampled(TRAP), EDGES, times=[0.5]).isel(time=0)
    assert result["value"].dims == ("direction", "x0", "x1")
    deviation = (result["value"] - exact_current()) / result["standard_error"]
    assert float(np.abs(deviation).max()) < 5
    assert float(np.abs((result["value"] - 1.5 * exact_current()) / result["standard_error"]).max()) > 8
    # Of 128 deviations of spread 1, themselves correlated in pairs.
    assert 0.7 < float(deviation.std()) < 1.3
    mass = np.diff([0.5 * math.erf(edge / math.sqrt(2)) for edge in EDGES[0]]) / np.diff(EDGES[0])
    assert float(np.abs((result["density"] - np.outer(mass, mass)) / result["density_standard_error"]).max()) < 5


def test_the_mean_local_velocity_of_a_rotating_trap_is_a_rotation() -> None:
    result = probability_current(TRAP, Exact(TRAP), sampled(TRAP), EDGES, times=[0.5]).isel(time=0)
    exact = exact_current() / (result["density"].values + 0 * exact_current())
    velocity = result["velocity"].sel(direction="x0").values
    # In a bin the mean of -a y over the states there: near the centre of the bin, never beyond its edges.
    assert (np.abs(velocity + ROTATION * result["x1"].values) <= ROTATION * 0.25 + 1e-9).all()
    assert np.abs(velocity - exact[0]).max() < 0.5
    points = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    swirl = ROTATION * torch.tensor([[0.0, 1.0], [-2.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(mean_local_velocity(TRAP, TRAP, points, 0.5), swirl, atol=1e-6, rtol=0)


def test_in_equilibrium_nothing_flows() -> None:
    process = stationary(OrnsteinUhlenbeck(drift_matrix=((-1.0, 0.5), (0.5, -1.0))))
    result = probability_current(process, Exact(process), sampled(process, 5000), EDGES)
    assert float(np.abs(result["value"]).max()) < 1e-6
    assert float(result["density"].max()) > 0.1


def test_the_current_of_one_variable_is_the_integral_over_the_other() -> None:
    edges = [np.array([-1.0, 0.0, 1.5]), np.linspace(-12, 12, 7)]
    process = OrnsteinUhlenbeck(drift_matrix=((-1.0, -1.0), (0.5, -0.7)), initial_mean=(1.0, -1.0))
    data = sampled(process, 5000)
    both = probability_current(process, Exact(process), data, edges)
    alone = probability_current(process, Exact(process), data, edges[:1], variables=["x0"])
    width = xr.DataArray(np.diff(edges[1]), dims="x1")
    summed = (both["value"].sel(direction=["x0"]) * width).sum("x1")
    np.testing.assert_allclose(summed, alone["value"], rtol=1e-9)
    assert alone["value"].dims == ("time", "direction", "x0")


class Unknown:
    """A score of the velocity alone, which is all that is driven."""

    def score(self, state: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.full_like(state[..., 0], 1e9), -state[..., 1]], -1)


def test_of_an_undriven_variable_no_score_is_needed() -> None:
    swimmer = ActiveSwimmer()
    data = simulate(swimmer, paths=1000, duration=0.2, dt=0.1, dtype="float64", seed=1)
    result = probability_current(swimmer, Unknown(), data, [np.array([-50.0, 50.0])], variables=["x"], times=[0.2])
    last = data.sel(time=0.2, method="nearest")
    flow = last["v"] - last["x"] ** 3
    assert float(result["velocity"].squeeze()) == pytest.approx(float(flow.mean()), rel=1e-9)
    assert float(result["velocity_standard_error"].squeeze()) == pytest.approx(float(flow.std()) / 999**0.5, rel=1e-9)


@pytest.mark.parametrize(
    ("edges", "variables", "named"),
    [
        ([], None, "`edges`"),
        ([EDGES[0]], ["x0", "x1"], "`edges`"),
        ([EDGES[0]], ["z"], "`variables`"),
        ([np.array([1.0, 0.0])], None, "increasing"),
        ([np.array([0.0, np.nan])], None, "increasing"),
    ],
    ids=["none", "too few", "unknown", "falling", "nan"],
)
def test_bins_that_mean_nothing_are_refused(edges: list[np.ndarray], variables: list[str] | None, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        probability_current(TRAP, Exact(TRAP), sampled(TRAP, 100), edges, variables=variables)
