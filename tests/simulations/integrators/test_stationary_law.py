"""Every closed form of a stationary law that a scheme states, against the exact law of its own chain."""

from collections.abc import Callable
from math import cosh, sinh, tanh

import numpy as np
import pytest
import scipy.linalg
from numpy.typing import NDArray

from physcore import Process
from simulations import (
    BAOAB,
    SRA1,
    EulerMaruyama,
    ExactLinear,
    HarmonicPotential,
    Heun,
    LangevinImpulse,
    LocalLinearization,
    OrnsteinUhlenbeck,
    Scheme,
    UnderdampedLangevin,
    WeakTaylor,
)

Matrix = NDArray[np.float64]
AffineStep = Callable[[Scheme, Process, float], tuple[Matrix, Matrix, Matrix]]

RATE, DIFFUSIVITY = 1.3, 0.7
TRAP = OrnsteinUhlenbeck(drift_matrix=((-RATE,),), noise_matrix=(((2 * DIFFUSIVITY) ** 0.5,),))

# Stationary variance in units of D / k, as a function of z = k dt, as the docstrings give it.
VARIANCES: dict[str, tuple[Scheme, Callable[[float], float]]] = {
    "euler-maruyama": (EulerMaruyama(), lambda z: 1 / (1 - z / 2)),
    "heun": (Heun(), lambda z: 1 / (1 + z**2 / (4 - 2 * z))),
    "weak-taylor": (WeakTaylor(), lambda z: 1 / (1 + z**2 / (4 - 2 * z))),
    "sra1": (SRA1(), lambda z: (1 - z + z**2 / 3) / ((1 - z / 2) * (1 - z / 2 + z**2 / 4))),
    "local-linearization": (LocalLinearization(), lambda z: tanh(z / 2) / (z / 2)),
    "exact-linear": (ExactLinear(), lambda z: 1.0),
}


def stationary(propagator: Matrix, noise: Matrix) -> Matrix:
    return np.asarray(scipy.linalg.solve_discrete_lyapunov(propagator, noise @ noise.T))


@pytest.mark.parametrize("dt", [0.05, 0.4, 1.0])
@pytest.mark.parametrize("name", VARIANCES)
def test_stationary_variance_in_one_dimension_is_the_stated_one(name: str, dt: float, affine_step: AffineStep) -> None:
    scheme, stated = VARIANCES[name]
    propagator, _, noise = affine_step(scheme, TRAP, dt)
    variance = stationary(propagator, noise)[0, 0] * RATE / DIFFUSIVITY
    assert variance == pytest.approx(stated(RATE * dt), rel=1e-12)
    assert scheme.weak_order == np.inf or abs(variance - 1) > 1e-4


def impulse_moments(z: float, w: float) -> tuple[float, float, float]:
    """Return mean squares and product of w x / h and v in units of T / m, as ``LangevinImpulse`` states them."""
    size = 2 * z - w**2 * tanh(z / 2)
    position = 2 * (z**2 - w**2 * (1 - z / sinh(z))) / (z * size)
    product = (2 - z / tanh(z / 2)) / size
    velocity = 4 * z**2 + w**4 + w**2 * z**2 / tanh(z / 2) ** 2 - w**2 * z * (6 * cosh(z) - 2 + w**2) / sinh(z)
    return position, product, velocity / (2 * z * size)


def trap(friction: float) -> UnderdampedLangevin:
    return UnderdampedLangevin(potential=HarmonicPotential(stiffness=3.2), mass=0.8, friction=friction, temperature=1.7)


OMEGA = 2.0


@pytest.mark.parametrize("friction", [0.1, 1.0, 8.0])
@pytest.mark.parametrize("dt", [0.05, 0.3, 0.7])
def test_stationary_law_of_baoab_in_a_trap_is_the_stated_one(
    dt: float, friction: float, affine_step: AffineStep
) -> None:
    process = trap(friction)
    propagator, _, noise = affine_step(BAOAB(), process, dt)
    law = stationary(propagator, noise) * process.mass / process.temperature
    stated = [[1 / OMEGA**2, 0.0], [0.0, 1 - (OMEGA * dt) ** 2 / 4]]
    np.testing.assert_allclose(law, stated, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("friction", [0.1, 1.0, 8.0])
@pytest.mark.parametrize("dt", [0.05, 0.3, 0.7])
def test_stationary_law_of_the_impulse_scheme_in_a_trap_is_the_stated_one(
    dt: float, friction: float, affine_step: AffineStep
) -> None:
    process = trap(friction)
    propagator, _, noise = affine_step(LangevinImpulse(), process, dt)
    law = stationary(propagator, noise) * process.mass / process.temperature
    position, product, velocity = impulse_moments(friction * dt, OMEGA * dt)
    stated = [[position / OMEGA**2, product * dt], [product * dt, velocity]]
    # The closed forms lose digits at small friction, where they divide differences by its powers.
    np.testing.assert_allclose(law, stated, rtol=1e-7, atol=1e-9)
    assert abs(law[0, 0] * OMEGA**2 - 1) > 1e-4


def test_the_impulse_scheme_errs_as_stated_to_second_order(affine_step: AffineStep) -> None:
    process, dt = trap(1.0), 1e-2
    propagator, _, noise = affine_step(LangevinImpulse(), process, dt)
    law = stationary(propagator, noise) * process.mass / process.temperature
    w = OMEGA * dt
    assert law[0, 0] * OMEGA**2 - 1 == pytest.approx(w**2 / 12, rel=1e-2)
    assert law[1, 1] - 1 == pytest.approx(-(w**2) / 6, rel=1e-2)
