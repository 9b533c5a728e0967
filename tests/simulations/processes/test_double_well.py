"""The double well: force, potential and Boltzmann law belong together."""

import pytest
import torch

from simulations import ActiveSwimmer, DoubleWell

WELL = DoubleWell(barrier=2.0, minimum=0.7, temperature=0.4, friction=3.0)


def points() -> torch.Tensor:
    return torch.linspace(-1.5, 1.5, 31, dtype=torch.float64).unsqueeze(-1)


def test_drift_is_minus_the_slope_of_the_potential_over_friction() -> None:
    state = points().requires_grad_()
    slope = torch.autograd.grad(WELL.potential(state).sum(), state)[0]
    torch.testing.assert_close(WELL.drift(points(), torch.zeros(())), -slope / WELL.friction)


def test_stationary_score_is_that_of_the_boltzmann_law() -> None:
    state = points().requires_grad_()
    boltzmann = torch.autograd.grad(-WELL.potential(state).sum() / WELL.temperature, state)[0]
    torch.testing.assert_close(WELL.stationary_score(points()), boltzmann)


def test_barrier_and_minima_are_where_they_are_said_to_be() -> None:
    assert WELL.potential(torch.zeros(1)) == pytest.approx(WELL.barrier)
    minima = torch.tensor([[-WELL.minimum], [WELL.minimum]])
    torch.testing.assert_close(WELL.potential(minima), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(WELL.drift(minima, torch.zeros(())), torch.zeros(2, 1), atol=1e-6, rtol=0)


def test_fluctuation_and_dissipation_balance() -> None:
    assert float(WELL.noise(torch.zeros(())) ** 2 / 2) == pytest.approx(WELL.temperature / WELL.friction)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["barrier", "minimum", "temperature", "friction", "initial_width"])
def test_d7_a_parameter_that_is_not_positive_is_refused_by_name(name: str, bad: float) -> None:
    with pytest.raises(ValueError, match=name):
        DoubleWell(**{name: bad})


@pytest.mark.parametrize("name", ["friction", "temperature"])
def test_d7_a_swimmer_s_parameter_that_is_not_positive_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        ActiveSwimmer(**{name: -0.1})


@pytest.mark.parametrize("temperature", [0.05, 0.4, 10.0])
def test_stationary_mean_square_is_that_of_quadrature(temperature: float) -> None:
    well = DoubleWell(barrier=2.0, minimum=0.7, temperature=temperature)
    grid = torch.linspace(-6, 6, 20001, dtype=torch.float64).unsqueeze(-1)
    weight = torch.softmax(-well.potential(grid) / temperature, 0)
    (moment,) = well.known_moments
    assert float((weight * moment.observable(grid)).sum()) == pytest.approx(well.stationary_mean_square, rel=1e-10)
    assert float(moment.expectation(torch.tensor(torch.inf))) == well.stationary_mean_square
