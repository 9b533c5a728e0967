"""The contract of a process: what it derives from drift and noise alone."""

import pytest
import torch
from torch import Tensor

from physcore import Process, Variable


class Pendulum(Process):
    """A driven pendulum whose drift depends on time, without anything in closed form."""

    variables = (Variable("angle", units="rad", symbol=r"\theta"), Variable("rate"))

    def drift(self, state: Tensor, time: Tensor) -> Tensor:
        angle, rate = state.unbind(-1)
        return torch.stack([rate, -torch.sin(angle) + torch.cos(3 * time)], -1)

    def noise(self, time: Tensor) -> Tensor:
        return torch.tensor([[0.0, 0.0], [0.5, 0.1]])

    def sample_initial(self, paths: int, generator: torch.Generator) -> Tensor:
        return torch.randn(paths, 2, generator=generator)


def test_jacobian_and_drift_rate_come_by_autodiff() -> None:
    state = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    time = torch.linspace(0, 1, 4, dtype=torch.float64).expand(3, 4)
    jacobian = Pendulum().jacobian(state, time)
    assert jacobian.shape == (3, 4, 2, 2)
    torch.testing.assert_close(jacobian[..., 0, 1], torch.ones(3, 4, dtype=torch.float64))
    torch.testing.assert_close(jacobian[..., 1, 0], -torch.cos(state[..., 0]))
    assert not jacobian[..., 0, 0].any()
    rate = Pendulum().drift_rate(state, time)
    assert not rate[..., 0].any()
    torch.testing.assert_close(rate[..., 1], -3 * torch.sin(3 * time))


def test_a_process_knows_its_dimension_driven_components_and_parameters() -> None:
    pendulum = Pendulum()
    assert pendulum.dimension == 2
    assert pendulum.driven == (1,)
    assert pendulum.parameters == {}
    assert pendulum.time_units == "1"


def test_an_initial_density_that_is_not_given_says_what_to_write() -> None:
    with pytest.raises(NotImplementedError, match="Pendulum gives no `initial_log_density`"):
        Pendulum().initial_log_density(torch.zeros(1, 2))


def test_variables_have_labels_and_identifiers_for_names() -> None:
    angle, rate = Pendulum.variables
    assert angle.label == r"$\theta$ [rad]"
    assert rate.label == "$rate$"
    with pytest.raises(ValueError, match="identifier"):
        Variable("not a name")


def test_a_process_without_its_three_methods_cannot_be_made() -> None:
    class Unfinished(Process):
        variables = (Variable("x"),)

    with pytest.raises(TypeError, match="abstract"):
        Unfinished()  # type: ignore[abstract]
