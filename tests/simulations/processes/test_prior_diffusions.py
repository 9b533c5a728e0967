"""Diffusions to a prior: the prior is stationary at any pace, its score its slope, and data arrive at it."""

import math
from typing import Any

import pytest
import scipy.integrate
import torch

from simulations import LogisticPrior, MixturePrior

PROCESSES = [
    MixturePrior(prior_means=((-1.0, 0.5), (1.2, 0.0), (0.3, -1.0)), prior_width=0.6, beta_start=0.7),
    LogisticPrior(prior_scale=0.4, beta_start=0.7),
]


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
class TestEveryPrior:
    def test_the_prior_is_stationary(self, process: Any, points: Any, change_of_density: Any) -> None:
        assert change_of_density(process, process.stationary_log_density, points(2)).abs().max() < 1e-11
        change = change_of_density(process, lambda x: 1.1 * process.stationary_log_density(x), points(2))
        assert change.abs().max() > 1e-2

    def test_prior_has_mass_one_and_the_stated_mean_square(self, process: Any) -> None:
        grid = torch.arange(-12, 12, 0.04, dtype=torch.float64)
        state = torch.stack(torch.meshgrid(grid, grid, indexing="ij"), -1)
        density = process.stationary_log_density(state).exp() * 0.04**2
        assert float(density.sum()) == pytest.approx(1, rel=1e-8)
        (moment,) = process.known_moments
        expected = float(moment.expectation(torch.tensor(torch.inf)))
        assert float((density * moment.observable(state)).sum()) == pytest.approx(expected, rel=1e-8)

    def test_score_is_the_slope_of_the_log_density(self, process: Any, points: Any) -> None:
        state = 3 * points(2)
        slope = torch.func.grad(lambda x: process.stationary_log_density(x).sum())(state)
        torch.testing.assert_close(process.stationary_score(state), slope)

    def test_rate_is_linear_and_sets_drift_and_noise(self, process: Any, points: Any) -> None:
        times = torch.linspace(0, 1, 50, dtype=torch.float64)
        rate = 0.7 + times * (10.0 - 0.7)
        drift = process.drift(points(2), times)
        torch.testing.assert_close(drift, 0.5 * rate[:, None] * process.stationary_score(points(2)))
        spread = process.noise(times) @ process.noise(times).mT
        torch.testing.assert_close(spread, rate[:, None, None] * torch.eye(2, dtype=torch.float64))

    def test_data_arrive_at_the_prior(self, process: Any, stationary_z: Any) -> None:
        assert abs(stationary_z(process, duration=1.5, dt=1e-3, paths=1024)["mean square"]) < 5
        assert abs(stationary_z(process, duration=0.01, dt=1e-3, paths=1024)["mean square"]) > 5

    def test_d7_parameters_out_of_range_are_refused_by_name(self, process: Any) -> None:
        for name in ("beta_start", "data_width", "data_radius"):
            with pytest.raises(ValueError, match=f"`{name}`"):
                type(process)(**{name: 0.0})
        with pytest.raises(ValueError, match="`beta_end` must be at least `beta_start`"):
            type(process)(beta_start=2.0, beta_end=1.0)


def test_logistic_prior_is_the_textbook_law() -> None:
    process = LogisticPrior(prior_scale=0.4)

    def density(y: float) -> float:
        return 1 / (4 * 0.4 * math.cosh(y / 0.8) ** 2)

    for y in (-3.0, 0.0, 0.7):
        state = torch.tensor([y, 0.0], dtype=torch.float64)
        assert math.exp(float(process.stationary_log_density(state))) == pytest.approx(density(y) * density(0.0))
    variance = scipy.integrate.quad(lambda y: y**2 * density(y), -20, 20)[0]
    assert process.prior_mean_square == pytest.approx(2 * variance)
    assert torch.isfinite(process.stationary_log_density(torch.tensor([1e6, -1e6]))).all()


def test_the_half_moons_mirror_each_other() -> None:
    means = torch.tensor(MixturePrior(data_radius=2.0).initial_law.means, dtype=torch.float64)
    moon, other = means.chunk(2)
    torch.testing.assert_close(moon, -other)
    centre = torch.tensor([-1.0, -0.5], dtype=torch.float64)
    torch.testing.assert_close((moon - centre).norm(dim=-1), torch.full((len(moon),), 2.0, dtype=torch.float64))
    assert (moon[:, 1] > centre[1]).all()


def test_a_mode_that_has_not_the_coordinates_of_the_data_is_refused() -> None:
    with pytest.raises(ValueError, match="`prior_means` must have 2 coordinates each, as the data; got 3"):
        MixturePrior(prior_means=((0.0, 0.0, 0.0),))
    with pytest.raises(ValueError, match="rows of equal length"):
        MixturePrior(prior_means=((0.0, 0.0), (1.0,)))


def test_data_about_given_points_in_more_dimensions() -> None:
    points = ((1.0, 0.0, -1.0), (0.5, 2.0, 0.0))
    process = LogisticPrior(data_points=points, data_width=0.1)
    assert [variable.name for variable in process.variables] == ["x0", "x1", "x2"]
    drawn = process.sample_initial(2000, torch.Generator().manual_seed(0))
    distances = torch.cdist(drawn, torch.tensor(points, dtype=torch.float64)).amin(1)
    # Three squares of a normal number: mean 3, variance 6.
    assert float((distances / 0.1).square().mean()) == pytest.approx(3, abs=5 * math.sqrt(6 / 2000))
    assert process.prior_mean_square == pytest.approx(1.5 * LogisticPrior().prior_mean_square)
    with pytest.raises(ValueError, match="rows of equal length"):
        LogisticPrior(data_points=((0.0, 0.0), (1.0,)))


def test_noise_without_its_matrix_is_the_noise() -> None:
    process = LogisticPrior(data_points=((0.0,) * 3,))
    times, normals = torch.tensor([0.2, 0.9]).double(), torch.randn(2, 3, generator=torch.Generator().manual_seed(3))
    expected = (process.noise(times) @ normals.double().unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(process.diffuse(normals.double(), times), expected)
