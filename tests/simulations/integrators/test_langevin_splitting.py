"""The free motion of the impulse scheme is exact and close to the Wiener path; what cannot be split is refused."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from physcore import Process
from physcore.linear_flow import linear_flow
from simulations import (
    BAOAB,
    ActiveSwimmer,
    Duffing,
    HarmonicPotential,
    LangevinImpulse,
    Scheme,
    UnderdampedLangevin,
)
from simulations.processes.langevin import Langevin

Matrix = NDArray[np.float64]
AffineStep = Callable[[Scheme, Process, float], tuple[Matrix, Matrix, Matrix]]
SCHEMES = [BAOAB(), LangevinImpulse()]


class Free(Duffing):
    """A particle without force."""

    def force(self, position: Tensor, time: Tensor) -> Tensor:
        return torch.zeros_like(position)


class Dragged(Duffing):
    """A particle whose drift says more than its force."""

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        return Langevin.drift(self, state, time) - 0.1 * state


class Heated(Duffing):
    """A particle whose noise says more than its temperature."""

    def noise(self, time: Tensor) -> Tensor:
        return 2 * Langevin.noise(self, time)


@pytest.mark.parametrize("friction", [1e-9, 1e-3, 0.99, 1.01, 30.0])
def test_free_motion_has_the_exact_law(friction: float, affine_step: AffineStep) -> None:
    process, dt = Free(friction=friction, temperature=0.6, mass=1.5), 1.0
    propagator, displacement, noise = affine_step(LangevinImpulse(), process, dt)
    matrix = torch.tensor([[0.0, 1.0], [0.0, -friction]], dtype=torch.float64)
    spread = process.noise(torch.zeros(()))
    flow = linear_flow(
        matrix.unsqueeze(-1),
        torch.zeros(2, 1, dtype=torch.float64),
        (spread @ spread.T).unsqueeze(-1),
        torch.tensor([dt], dtype=torch.float64),
    )
    assert not displacement.any()
    np.testing.assert_allclose(propagator, flow.propagator[..., 0], rtol=1e-13, atol=1e-16)
    np.testing.assert_allclose(noise @ noise.T, flow.covariance[..., 0], rtol=1e-12)


@pytest.mark.parametrize("decay", [0.01, 0.1])
def test_its_normals_are_those_of_the_wiener_path_to_second_order(decay: float, affine_step: AffineStep) -> None:
    process = Free(friction=decay, temperature=0.5 / decay, mass=1.0)
    _, _, noise = affine_step(LangevinImpulse(), process, 1.0)
    # X = I_10 - decay int int W and V = W - decay I_10 to first order, with I_10 = (xi_1 + xi_2 / sqrt 3) / 2.
    integral = np.array([0.5, 0.5 / 3**0.5])
    double_integral = np.array([1 / 6, 1 / 48**0.5])
    expanded = np.array([integral - decay * double_integral, [1.0, 0.0] - decay * integral])
    np.testing.assert_allclose(noise, expanded, atol=decay**2)
    assert np.abs(np.linalg.cholesky(noise @ noise.T) - expanded).max() > 2 * decay**2


@pytest.mark.parametrize("scheme", SCHEMES, ids=repr)
@pytest.mark.parametrize("process", [ActiveSwimmer(), Dragged(), Heated()], ids=lambda p: type(p).__name__)
def test_other_processes_are_refused(scheme: Scheme, process: Process) -> None:
    with pytest.raises(ValueError, match=f"{type(process).__name__}.*Use a general scheme"):
        scheme.check(process, 0.01)


@pytest.mark.parametrize("scheme", SCHEMES, ids=repr)
def test_several_dimensions_move_as_one_does(scheme: Scheme, affine_step: AffineStep) -> None:
    wide = UnderdampedLangevin(potential=HarmonicPotential(stiffness=2.0, dimension=3))
    narrow = UnderdampedLangevin(potential=HarmonicPotential(stiffness=2.0))
    for big, small in zip(affine_step(scheme, wide, 0.3), affine_step(scheme, narrow, 0.3), strict=True):
        np.testing.assert_allclose(big, np.kron(small, np.eye(3)) if small.ndim == 2 else 0, atol=1e-15)


@pytest.mark.parametrize("scheme", SCHEMES, ids=repr)
def test_a_force_in_time_is_taken_at_both_ends(scheme: Scheme) -> None:
    process, dt, times = Duffing(frequency=2.0, stiffness=0.0), 0.1, []

    class Watched(Duffing):
        def force(self, position: Tensor, time: Tensor) -> Tensor:
            times.append(float(time))
            return Duffing.force(self, position, time)

    watched = Watched(**process.parameters)
    zero = torch.zeros(1, scheme.normals(process), dtype=torch.float64)
    scheme.step(watched, torch.zeros(1, 2, dtype=torch.float64), torch.tensor(0.7, dtype=torch.float64), dt, zero)
    assert times == pytest.approx([0.7, 0.8])
