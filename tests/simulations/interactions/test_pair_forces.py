"""Pair forces: minus the slope of their energy, odd, zero from the cutoff on, finite where particles coincide."""

import math

import pytest
import torch
from torch import Tensor

from simulations import GaussianRepulsion, HarmonicRepulsion, PairForce

FORCES = {
    "harmonic": HarmonicRepulsion(stiffness=3.0, diameter=0.8),
    "gaussian": GaussianRepulsion(strength=2.0, range=0.5),
}
EVERY = pytest.mark.parametrize("name", FORCES)
DIMENSIONS = pytest.mark.parametrize("dimension", [1, 2, 3])


def displaced(dimension: int, count: int = 200) -> Tensor:
    return torch.randn(count, dimension, generator=torch.Generator().manual_seed(dimension), dtype=torch.float64)


@EVERY
@DIMENSIONS
def test_force_is_minus_the_slope_of_the_energy(name: str, dimension: int) -> None:
    interaction: PairForce = FORCES[name]
    apart = displaced(dimension).requires_grad_()
    slope = torch.autograd.grad(interaction.energy(apart).sum(), apart)[0]
    torch.testing.assert_close(interaction.force(apart.detach()), -slope, rtol=1e-12, atol=1e-12)
    assert slope.abs().max() > 0.1


@EVERY
@DIMENSIONS
def test_force_is_odd_and_repels_and_energy_is_even(name: str, dimension: int) -> None:
    interaction, apart = FORCES[name], displaced(dimension)
    assert torch.equal(interaction.force(-apart), -interaction.force(apart))
    assert torch.equal(interaction.energy(-apart), interaction.energy(apart))
    assert ((interaction.force(apart) * apart).sum(-1) >= 0).all()


def test_harmonic_force_has_its_spring_and_its_contact() -> None:
    interaction = FORCES["harmonic"]
    apart = torch.tensor([[0.3, 0.4], [0.8, 0.0], [0.0, 1.7]], dtype=torch.float64)
    expected = torch.tensor([[0.9 * 0.6, 0.9 * 0.8], [0.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(interaction.force(apart), expected, rtol=1e-14, atol=1e-14)
    assert interaction.cutoff == 0.8
    assert FORCES["gaussian"].cutoff == math.inf


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_e2_coincident_particles_exert_no_force_and_have_a_finite_slope(name: str, dtype: torch.dtype) -> None:
    interaction = FORCES[name]
    apart = torch.zeros(3, 2, dtype=dtype)
    assert torch.equal(interaction.force(apart), apart)
    for direction in torch.eye(2, dtype=dtype):
        slope = torch.func.jvp(interaction.force, (apart,), (direction.expand(3, 2).contiguous(),))[1]
        assert torch.isfinite(slope).all()
    tiny = torch.full((3, 2), 1e-30, dtype=dtype)
    assert torch.isfinite(interaction.force(tiny)).all()


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (HarmonicRepulsion, "stiffness"),
        (HarmonicRepulsion, "diameter"),
        (GaussianRepulsion, "strength"),
        (GaussianRepulsion, "range"),
    ],
)
def test_d7_a_parameter_that_is_not_positive_is_refused_by_name(kind: type[PairForce], name: str, bad: float) -> None:
    with pytest.raises(ValueError, match=name):
        kind(**{name: bad})
