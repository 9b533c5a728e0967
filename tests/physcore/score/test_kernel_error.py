"""The measured error of a kernel: what quadrature and closed forms give, also for narrow modes far apart."""

import pytest
import torch
from torch import Tensor

from physcore import Process, Variable
from physcore.score.kernels import LocalLinear
from physcore.score.lags.features import Features
from physcore.score.lags.kernel_error import KernelError, kernel_errors
from physcore.trajectory import frames
from simulations import ActiveSwimmer, OrnsteinUhlenbeck, simulate


class Modes(Process):
    """Noising of a unit Gaussian into two Gaussians of width 0.5 at +-1.5."""

    variables = (Variable("x"),)

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        return 2 * (1.5 * torch.tanh(6 * state) - state)

    def noise(self, time: Tensor) -> Tensor:
        return torch.ones(1, 1, dtype=torch.float64)

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        return torch.randn(paths, 1, generator=generator, dtype=torch.float64)


def measured(process: Process, time: float, lag: float) -> KernelError:
    """The error of the first-order kernel at a time."""
    data = simulate(process, paths=8192, duration=time - lag, dt=4e-3, save_every="final", seed=3)
    state = frames(process, data, torch.float64)[-1]
    errors = kernel_errors(
        process, LocalLinear().of(process), state, time - lag, [lag], torch.Generator().manual_seed(1)
    )
    return next(iter(errors))


# By quadrature: the kernel's relative error, and the mean square of a target relative to that of the score.
@pytest.mark.parametrize(("lag", "error", "square"), [(0.08, 0.0213, 3.8), (0.16, 0.0364, 2.2)])
def test_errors_between_narrow_modes_far_apart_are_those_of_quadrature(lag: float, error: float, square: float) -> None:
    found = measured(Modes(), 1.0, lag)
    # From 0.4 to 1.4 of the error for different sets of so many states.
    assert 0.35 * error < float(found.bias.sqrt()) < 1.5 * error
    assert float(found.noise) + 1 == pytest.approx(square, rel=0.07)


def test_errors_of_the_swimmer_are_those_of_quadrature() -> None:
    found = measured(ActiveSwimmer(), 3.0, 0.2)
    torch.testing.assert_close(found.bias.sqrt(), torch.full((2,), 0.0084).double(), rtol=0.25, atol=0)


def test_a_linear_process_has_no_error_and_the_noise_of_its_closed_form() -> None:
    process = OrnsteinUhlenbeck.rotating_trap()
    found = measured(process, 1.0, 0.5)
    assert (found.bias < 1e-8).all()
    time = torch.tensor(1.0, dtype=torch.float64)
    size = torch.linalg.inv(process.covariance(time)).diagonal()
    kernel = LocalLinear().of(process)(torch.zeros(1, 2).double(), torch.full((1,), 0.5).double(), time.reshape(1) / 2)
    exact = torch.linalg.inv(kernel.covariance[0]).diagonal() / size - 1
    torch.testing.assert_close(found.noise, exact, rtol=0.1, atol=0)


def test_gradients_of_features_are_those_of_autodiff() -> None:
    process, time = ActiveSwimmer(), torch.tensor(0.0).double()
    state = torch.randn(200, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    features = Features(process, state, time, torch.Generator().manual_seed(2))
    exact = torch.func.vmap(torch.func.jacrev(lambda each: features(each.unsqueeze(0))[0]))(state[:5])
    torch.testing.assert_close(features.gradient(state[:5]), exact)
