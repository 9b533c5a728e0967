"""Compiled pair forces are those of the plain evaluation, for every system by itself."""

import dataclasses

import pytest
import torch
from torch import Tensor

from simulations.interactions.all_pairs import all_pair_forces
from simulations.interactions.gaussian_repulsion import GaussianRepulsion
from simulations.interactions.harmonic_repulsion import HarmonicRepulsion
from simulations.interactions.pair_force import PairForce
from simulations.interactions.pair_kernel import PairKernel, pair_kernel
from simulations.interactions.total import interaction_forces

SPRINGS = HarmonicRepulsion(stiffness=20.0)
# Particles, dimension, side: the first three by cells, the others over all pairs.
SIZES = [(300, 1, 400.0), (600, 2, 30.0), (600, 3, 9.5), (40, 1, 30.0), (40, 2, 5.0), (40, 3, 4.0)]


def scattered(systems: int, particles: int, dimension: int, side: float, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(particles + dimension)
    return (torch.rand(systems, particles, dimension, generator=generator, dtype=dtype) * 3 - 1) * side


def kernel_of(interaction: PairForce, positions: Tensor) -> PairKernel:
    kernel = pair_kernel(positions, interaction)
    assert kernel is not None, "no compiler, or the force cannot be traced"
    return kernel


@pytest.mark.parametrize("periodic", [False, True], ids=["open", "periodic"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_forces_are_those_of_all_pairs(size: tuple[int, int, float], periodic: bool) -> None:
    particles, dimension, side = size
    positions = scattered(3, particles, dimension, side if periodic else side / 3)
    kernel_of(SPRINGS, positions)
    box = (side,) * dimension if periodic else None
    expected = all_pair_forces(positions, box, SPRINGS.force)
    assert expected.abs().max() > 1
    torch.testing.assert_close(interaction_forces(positions, SPRINGS, box), expected, rtol=1e-9, atol=1e-9)
    single = interaction_forces(positions.float(), SPRINGS, box)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), expected, rtol=1e-3, atol=3e-3 * float(expected.abs().max()))


@pytest.mark.parametrize("size", [SIZES[1], SIZES[4]], ids=str)
def test_a_system_does_not_depend_on_the_others(size: tuple[int, int, float]) -> None:
    particles, dimension, side = size
    positions = scattered(70, particles, dimension, side, torch.float32)
    together = interaction_forces(positions, SPRINGS, (side,) * dimension)
    for chosen in (slice(0, 1), slice(30, 35), slice(69, 70)):
        assert torch.equal(
            interaction_forces(positions[chosen].clone(), SPRINGS, (side,) * dimension), together[chosen]
        )


@pytest.mark.parametrize("leading", [(), (0,), (1,), (2, 3)], ids=str)
def test_any_leading_shape_and_layout_will_do(leading: tuple[int, ...]) -> None:
    for particles, dimension, side in (SIZES[1], SIZES[4]):
        count = torch.Size(leading).numel()
        positions = scattered(count, particles, dimension, side).reshape(*leading, particles, dimension)
        forces = interaction_forces(positions, SPRINGS, (side,) * dimension)
        assert forces.shape == positions.shape
        held = positions.movedim(-2, 0).contiguous().movedim(0, -2)
        assert torch.equal(interaction_forces(held, SPRINGS, (side,) * dimension), forces)


def test_momentum_is_conserved() -> None:
    for particles, dimension, side in SIZES:
        positions = scattered(2, particles, dimension, side)
        total = interaction_forces(positions, SPRINGS, (side,) * dimension).sum(-2)
        assert total.abs().max() < 1e-10


def test_e2_coincident_particles_have_finite_forces_and_lost_ones_none() -> None:
    for particles, dimension, side in (SIZES[1], SIZES[4]):
        positions = scattered(1, particles, dimension, side)
        positions[0, 1] = positions[0, 0]
        assert torch.isfinite(interaction_forces(positions, SPRINGS, (side,) * dimension)).all()
        positions[0, 2, 0] = torch.nan
        assert interaction_forces(positions, SPRINGS, (side,) * dimension)[0, 2].isnan().any()


def test_derivatives_pass_through_the_plain_evaluation() -> None:
    positions, repulsion = scattered(1, 6, 2, 2.0)[0], GaussianRepulsion(strength=2.0, range=0.7)
    kernel_of(repulsion, positions)
    watched = positions.clone().requires_grad_()
    assert pair_kernel(watched, repulsion) is None
    energy = repulsion.energy(watched.unsqueeze(0) - watched.unsqueeze(1)).sum() / 2
    forces = -torch.autograd.grad(energy, watched)[0]
    torch.testing.assert_close(interaction_forces(positions, repulsion), forces)


@dataclasses.dataclass(frozen=True)
class Undecided(PairForce):
    """A force that looks at values, which no kernel can."""

    @property
    def cutoff(self) -> float:
        return 1.0

    def force(self, displacement: Tensor) -> Tensor:
        return displacement if bool((displacement.abs() < 10).all()) else 0 * displacement

    def energy(self, displacement: Tensor) -> Tensor:
        return -displacement.square().sum(-1) / 2


def test_a_force_that_cannot_be_traced_is_evaluated_by_torch() -> None:
    positions = scattered(1, 5, 2, 1.0)
    assert pair_kernel(positions, Undecided()) is None
    expected = all_pair_forces(positions, None, Undecided().force)
    assert torch.equal(interaction_forces(positions, Undecided()), expected)
