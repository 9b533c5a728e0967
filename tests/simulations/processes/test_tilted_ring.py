"""The tilted ring: Stratonovich's mean velocity, the law of the wrapped angle, and what they say of simulations."""

import math
from typing import Any

import pytest
import scipy.integrate
import scipy.special
import torch

from physcore.trajectory import frames
from simulations import TiltedRing, simulate

RING = TiltedRing(amplitude=1.2, torque=0.9, temperature=0.6, friction=1.5)
ANGLES = torch.linspace(-4, 9, 60, dtype=torch.float64).unsqueeze(-1)


def test_the_claimed_law_is_stationary_and_periodic(change_of_density: Any) -> None:
    assert change_of_density(RING, RING.stationary_log_density, ANGLES).abs().max() < 1e-11
    torch.testing.assert_close(
        RING.stationary_log_density(ANGLES + 2 * math.pi), RING.stationary_log_density(ANGLES), rtol=0, atol=1e-12
    )
    boltzmann = change_of_density(RING, lambda x: -RING.potential.energy(x) / RING.temperature, ANGLES)
    assert boltzmann.abs().max() < 1e-11, "the Boltzmann law is stationary too, but not periodic"


def test_the_law_is_normalised_over_a_turn_and_its_score_is_its_slope() -> None:
    def density(angle: float) -> float:
        return math.exp(float(RING.stationary_log_density(torch.tensor([angle], dtype=torch.float64))))

    assert scipy.integrate.quad(density, 0, 2 * math.pi)[0] == pytest.approx(1, rel=1e-10)
    slope = torch.func.grad(lambda x: RING.stationary_log_density(x).sum())(ANGLES)
    torch.testing.assert_close(RING.stationary_score(ANGLES), slope)


def test_the_current_is_the_same_everywhere_and_is_the_mean_velocity_over_a_turn() -> None:
    diffusivity = RING.temperature / RING.friction
    local = RING.drift(ANGLES, torch.zeros(())) - diffusivity * RING.stationary_score(ANGLES)
    current = local[..., 0] * RING.stationary_log_density(ANGLES).exp()
    expected = torch.full_like(current, RING.mean_velocity / (2 * math.pi))
    torch.testing.assert_close(current, expected, rtol=1e-11, atol=0)


@pytest.mark.parametrize("torque", [-3.0, -0.5, 0.2, 1.0, 4.0])
@pytest.mark.parametrize("temperature", [0.1, 1.0, 20.0])
def test_mean_velocity_is_that_of_bessel_functions_and_of_the_mean_drift(torque: float, temperature: float) -> None:
    ring = TiltedRing(torque=torque, temperature=temperature, friction=2.0)
    # |I_{i b}(a)|^2 through its integral over an angle: (1/pi) int_0^pi cosh(2 b u) I_0(2 a cos u) du = J J*.
    a, b = 1 / temperature, torque / temperature
    integral = scipy.integrate.quad(
        lambda u: math.cosh(2 * b * u) * float(scipy.special.i0(2 * a * math.cos(u))), 0, math.pi / 2
    )[0]
    expected = temperature / 2.0 * math.sinh(math.pi * b) / (2 / math.pi * integral) / math.pi
    mean_drift = float(ring.known_moments[0].expectation(torch.tensor(torch.inf)))
    assert ring.mean_velocity == pytest.approx(expected, rel=1e-9)
    assert mean_drift == pytest.approx(ring.mean_velocity, rel=1e-9)


def test_limits_of_the_mean_velocity() -> None:
    assert TiltedRing(torque=0.0).mean_velocity == 0
    free = TiltedRing(amplitude=1e-9, torque=0.8, friction=2.0)
    assert free.mean_velocity == pytest.approx(0.4, rel=1e-6)
    cold = TiltedRing(amplitude=1.0, torque=1.25, temperature=0.002)
    assert cold.mean_velocity == pytest.approx(math.sqrt(1.25**2 - 1), rel=1e-3), "no noise"


def test_simulated_moments_and_turns_are_the_exact_ones(stationary_z: Any) -> None:
    late = stationary_z(RING, duration=8.0, dt=4e-3)
    assert len(late) == 3
    assert all(abs(z) < 5 for z in late.values()), late
    early = stationary_z(RING, duration=0.04, dt=4e-3)
    assert all(abs(z) > 5 for z in early.values()), early
    run = simulate(RING, paths=4096, duration=16.0, dt=4e-3, save_every=2000, dtype="float64", seed=5)
    state = frames(RING, run, torch.float64)[..., 0]
    turned = (state[2] - state[1]) / 8.0
    assert abs((turned.mean() - RING.mean_velocity) / (turned.std() / 64)) < 5
    assert abs((turned.mean() - RING.torque / RING.friction) / (turned.std() / 64)) > 5, "the cosine slows it down"


def test_d7_parameters_out_of_range_are_refused_by_name() -> None:
    for name, value in {"amplitude": 0.0, "temperature": math.nan, "torque": math.inf}.items():
        with pytest.raises(ValueError, match=f"`{name}`"):
            TiltedRing(**{name: value})
