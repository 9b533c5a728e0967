"""The breathing parabola: its variance, its entropy production rate, and both against a simulation."""

import math

import pytest
import torch

from physcore.trajectory import frames
from simulations import BreathingParabola, simulate

TIMES = torch.linspace(0, 5, 26, dtype=torch.float64)


def test_variance_solves_its_equation_of_motion() -> None:
    parabola = BreathingParabola(stiffness=1.7, diffusivity=0.6)
    change = torch.func.grad(lambda time: parabola.variance(time).sum())(TIMES)
    rate = 1.7 / (1 + 1.7 * TIMES)
    torch.testing.assert_close(change, -2 * rate * parabola.variance(TIMES) + 2 * 0.6)
    assert float(parabola.variance(torch.zeros(()))) == pytest.approx(0.6 / 1.7)


def test_entropy_production_rate_is_the_published_one() -> None:
    t = TIMES
    published = t**2 * (3 + 3 * t + t**2) ** 2 / (3 * (1 + t) ** 4 * (3 + 6 * t + 6 * t**2 + 2 * t**3))
    for diffusivity in (1.0, 0.3):
        parabola = BreathingParabola(diffusivity=diffusivity)
        torch.testing.assert_close(parabola.entropy_production_rate(t), published)


@pytest.mark.parametrize("stiffness", [1.0, 2.5])
def test_entropy_production_rate_is_the_mean_square_of_the_local_velocity(stiffness: float) -> None:
    parabola = BreathingParabola(stiffness=stiffness, diffusivity=0.7)
    one = torch.ones(len(TIMES), 1, dtype=torch.float64)
    local = parabola.drift(one, TIMES) - 0.7 * parabola.score(one, TIMES)
    rate = local[..., 0].square() * parabola.variance(TIMES) / 0.7
    torch.testing.assert_close(rate, parabola.entropy_production_rate(TIMES))
    assert float(rate[0]) == pytest.approx(0, abs=1e-12), "it starts in equilibrium"


def test_simulated_mean_square_is_the_exact_one_at_all_times() -> None:
    parabola = BreathingParabola()
    run = simulate(parabola, paths=8192, duration=4.0, dt=4e-3, save_every=250, dtype="float64", seed=3)
    state = frames(parabola, run, torch.float64)
    (moment,) = parabola.known_moments
    exact = moment.expectation(torch.arange(5, dtype=torch.float64))
    z = (moment.observable(state).mean(1) / exact - 1) * (8192 / 2) ** 0.5
    assert z.abs().max() < 5
    still = (moment.observable(state).mean(1) / exact[0] - 1) * (8192 / 2) ** 0.5
    assert still[1:].abs().min() > 5
    assert moment.expectation(torch.tensor(math.inf)) == math.inf


def test_d7_parameters_out_of_range_are_refused_by_name() -> None:
    for name in ("stiffness", "diffusivity"):
        with pytest.raises(ValueError, match=f"`{name}`"):
            BreathingParabola(**{name: -1.0})
