"""The Student diffusion: potential, force and stationary law belong together, and its tails are those of the law."""

import math
from collections.abc import Callable

import pytest
import scipy.stats
import torch

from simulations import StudentDiffusion, simulate

ATOMS = StudentDiffusion(degrees_of_freedom=3.5, scale=0.7, temperature=1.4, friction=2.0, initial_width=None)


def points() -> torch.Tensor:
    return torch.linspace(-30, 30, 61, dtype=torch.float64).unsqueeze(-1)


def test_drift_is_minus_the_slope_of_the_potential_over_friction() -> None:
    state = points().requires_grad_()
    slope = torch.autograd.grad(ATOMS.potential(state).sum(), state)[0]
    torch.testing.assert_close(ATOMS.drift(points(), torch.zeros(())), -slope / ATOMS.friction)


def test_the_stationary_law_is_student_s() -> None:
    law = scipy.stats.t(ATOMS.degrees_of_freedom, scale=ATOMS.scale)
    expected = torch.from_numpy(law.logpdf(points()[:, 0].numpy()))
    torch.testing.assert_close(ATOMS.stationary_log_density(points()), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ATOMS.initial_log_density(points()), expected, rtol=1e-12, atol=1e-12)
    state = points().requires_grad_()
    score = torch.autograd.grad(ATOMS.stationary_log_density(state).sum(), state)[0]
    torch.testing.assert_close(ATOMS.stationary_score(points()), score, rtol=1e-12, atol=1e-12)


def test_it_is_stationary(change_of_density: Callable[..., torch.Tensor]) -> None:
    change = change_of_density(ATOMS, ATOMS.stationary_log_density, points())
    assert float(change.abs().max()) < 1e-12


@pytest.mark.parametrize("degrees", [3.5, 5.0], ids=["right", "wrong"])
def test_tails_stay_those_of_the_law(degrees: float) -> None:
    run = simulate(ATOMS, paths=40_000, duration=3.0, dt=0.02, save_every="final", dtype="float64", seed=5)
    far = torch.as_tensor(run["x"].values[:, -1].copy()).abs()
    for distance in (1.0, 3.0, 8.0):
        part = 2 * scipy.stats.t.sf(distance / ATOMS.scale, degrees)
        z = (float((far > distance).double().mean()) - part) / math.sqrt(part * (1 - part) / len(far))
        if degrees == ATOMS.degrees_of_freedom:
            assert abs(z) < 5
    assert degrees == ATOMS.degrees_of_freedom or abs(z) > 5


def test_the_least_of_the_uniform_numbers_gives_a_finite_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "rand", lambda *shape, dtype, **_: torch.zeros(*shape, dtype=dtype))
    assert torch.isfinite(ATOMS.sample_stationary(3, torch.Generator())).all()


@pytest.mark.parametrize("name", ["degrees_of_freedom", "scale", "temperature", "friction", "initial_width"])
def test_d7_a_parameter_that_is_not_positive_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        StudentDiffusion(**{name: 0.0})
