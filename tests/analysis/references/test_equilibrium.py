"""The stationary law as a reference."""

import pytest
import torch

from analysis import Equilibrium, Exact
from simulations import ActiveSwimmer, DoubleWell, MuellerBrown, OrnsteinUhlenbeck

TRAP = OrnsteinUhlenbeck(drift_matrix=((-1.0, -1.0), (0.5, -0.7)), noise_matrix=((0.0,), (0.8,)))


def test_it_is_what_a_process_relaxes_to_and_not_what_it_starts_from() -> None:
    states = torch.randn(100, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    stationary = Equilibrium(TRAP).score(states, 0.0)
    torch.testing.assert_close(stationary, Exact(TRAP).score(states, 60.0), rtol=1e-6, atol=1e-6)
    assert float((stationary - Exact(TRAP).score(states, 0.1)).abs().max()) > 0.1
    assert Equilibrium(TRAP).error_estimate(0.0) is None


def test_score_is_the_gradient_of_the_log_density() -> None:
    reference = Equilibrium(MuellerBrown())
    states = torch.tensor([[-0.5, 1.4], [0.6, 0.0], [-0.1, 0.5]], dtype=torch.float64).requires_grad_()
    slope = torch.autograd.grad(reference.log_density(states, 1.0).sum(), states)[0]
    torch.testing.assert_close(reference.score(states.detach(), 1.0), slope, rtol=1e-9, atol=1e-9)


def test_dtype_is_kept_and_one_time_asked_for() -> None:
    states = torch.zeros(3, 1)
    assert Equilibrium(DoubleWell()).score(states, 1.0).dtype == torch.float32
    with pytest.raises(ValueError, match="one time"):
        Equilibrium(DoubleWell()).score(states, torch.zeros(3))


def test_a_process_without_a_known_stationary_law_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="stationary_score"):
        Equilibrium(ActiveSwimmer())


def test_a_density_that_is_not_known_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="score alone"):
        Equilibrium(TRAP).log_density(torch.zeros(1, 2), 1.0)
