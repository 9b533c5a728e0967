"""Forces over all pairs against plain loops, and over neighbours against all pairs."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from simulations import HarmonicRepulsion
from simulations.interactions import all_pair_forces, interaction_forces, neighbour_forces
from simulations.interactions.all_pairs import pair_tables
from simulations.interactions.neighbours import cells_across, neighbour_pairs
from simulations.interactions.total import by_neighbours

DISCS = HarmonicRepulsion(stiffness=5.0, diameter=1.0)
Box = tuple[float, ...] | None
DIMENSIONS = pytest.mark.parametrize("dimension", [1, 2, 3])
PERIODIC = pytest.mark.parametrize("periodic", [True, False], ids=["periodic", "open"])


def gas(particles: int, dimension: int, density: float, *batch: int, seed: int = 0) -> tuple[Tensor, float]:
    """Return positions at random in a cubic box, shape (..., particle, dimension), and the side of the box."""
    side = (particles / density) ** (1 / dimension)
    generator = torch.Generator().manual_seed(seed)
    return side * torch.rand(*batch, particles, dimension, generator=generator, dtype=torch.float64), side


def looped(positions: Tensor, box: Box) -> Tensor:
    """The definition: a loop over all ordered pairs, over all images near by."""
    particles, dimension = positions.shape
    images = itertools.product((-1, 0, 1), repeat=dimension) if box else [(0,) * dimension]
    periods = torch.tensor(box or (0.0,) * dimension, dtype=torch.float64)
    shifts = [torch.tensor(image, dtype=torch.float64) * periods for image in images]
    felt = torch.zeros_like(positions)
    for i in range(particles):
        for j in range(particles):
            for shift in shifts if i != j else ():
                felt[i] += DISCS.force(positions[i] - positions[j] + shift)
    return felt


@DIMENSIONS
@PERIODIC
def test_all_pairs_are_the_sum_over_pairs_and_images(dimension: int, periodic: bool) -> None:
    positions, side = gas(9, dimension, 1.0 if dimension > 1 else 0.9)
    box = (side,) * dimension if periodic else None
    expected = looped(positions, box)
    torch.testing.assert_close(all_pair_forces(positions, box, DISCS.force), expected, rtol=1e-13, atol=1e-13)
    assert expected.abs().max() > 0.1


def test_all_pairs_know_one_particle_and_two() -> None:
    assert torch.equal(all_pair_forces(torch.zeros(4, 1, 2), None, DISCS.force), torch.zeros(4, 1, 2))
    pair = torch.tensor([[0.0, 0.0], [0.6, 0.0]], dtype=torch.float64)
    expected = torch.tensor([[-2.0, 0.0], [2.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(all_pair_forces(pair, None, DISCS.force), expected)
    first, second, pairs, _ = pair_tables(5)
    assert len(first) == 10
    assert all({*first[row].tolist()} | {*second[row].tolist()} == set(range(5)) for row in pairs)


@DIMENSIONS
@PERIODIC
@pytest.mark.parametrize("density", [0.05, 0.5, 3.0])
def test_neighbours_give_the_forces_of_all_pairs(dimension: int, periodic: bool, density: float) -> None:
    positions, side = gas(200, dimension, density, 3, seed=dimension)
    box = (side,) * dimension if periodic else None
    if box and side < 3:
        pytest.skip("the box is too narrow for cells")
    expected = all_pair_forces(positions, box, DISCS.force)
    torch.testing.assert_close(neighbour_forces(positions, box, 1.0, DISCS.force), expected, rtol=1e-12, atol=1e-12)
    assert expected.abs().max() > 0.1


@pytest.mark.parametrize("side", [3.0, 3.0001, 4.0, 6.0, 7.3])
def test_neighbours_are_right_in_few_cells_and_in_oblong_boxes(side: float) -> None:
    box = (side, 11.0)
    positions = gas(120, 2, 1.0)[0].remainder(torch.tensor(box, dtype=torch.float64))
    expected = all_pair_forces(positions, box, DISCS.force)
    torch.testing.assert_close(neighbour_forces(positions, box, 1.0, DISCS.force), expected, rtol=1e-12, atol=1e-12)
    turned, wide = positions.flip(-1), (11.0, side)
    torch.testing.assert_close(neighbour_forces(turned, wide, 1.0, DISCS.force), expected.flip(-1))


@PERIODIC
def test_neighbours_are_right_on_a_lattice_whose_particles_lie_on_the_walls_of_cells(periodic: bool) -> None:
    axis = torch.arange(8, dtype=torch.float64) * 0.75
    positions = torch.cartesian_prod(axis, axis) - 3.0
    box = (6.0, 6.0) if periodic else None
    expected = all_pair_forces(positions, box, DISCS.force)
    torch.testing.assert_close(neighbour_forces(positions, box, 1.0, DISCS.force), expected, rtol=1e-12, atol=1e-12)


@DIMENSIONS
@PERIODIC
def test_no_pair_within_the_cutoff_is_missed_and_none_is_met_twice(dimension: int, periodic: bool) -> None:
    positions, side = gas(300, dimension, 0.4, seed=5)
    box = (side,) * dimension if periodic else None
    shape = cells_across(300, dimension, box, 1.0)
    first, second = neighbour_pairs(list(positions.unbind(-1)), 1, box, 1.0, shape)
    met = [(min(pair), max(pair)) for pair in zip(first.tolist(), second.tolist(), strict=True)]
    assert len(set(met)) == len(met)
    apart = positions.unsqueeze(1) - positions.unsqueeze(0)
    apart = apart - side * torch.round(apart / side) if periodic else apart
    near = (apart.norm(dim=-1) < 1).triu(1).nonzero().tolist()
    assert {tuple(pair) for pair in near} <= set(met)
    assert len(met) < 0.7 * 300 * 299 / 2


@PERIODIC
def test_a_system_does_not_depend_on_the_others_in_the_batch(periodic: bool) -> None:
    positions, side = gas(300, 2, 0.6, 7)
    box = (side, side) if periodic else None
    for evaluate in (
        lambda x: neighbour_forces(x, box, 1.0, DISCS.force),
        lambda x: all_pair_forces(x, box, DISCS.force),
        lambda x: interaction_forces(x, DISCS, box),
    ):
        together = evaluate(positions)
        assert torch.equal(evaluate(positions[2]), together[2])
        assert torch.equal(evaluate(positions[2:4].reshape(2, 1, 300, 2)), together[2:4].reshape(2, 1, 300, 2))
        assert evaluate(positions[:0]).shape == (0, 300, 2)


def test_a_chunk_of_systems_is_computed_like_each() -> None:
    positions, side = gas(400, 2, 0.6, 400)
    together = neighbour_forces(positions, (side, side), 1.0, DISCS.force)
    for i in (0, 163, 164, 399):
        assert torch.equal(neighbour_forces(positions[i], (side, side), 1.0, DISCS.force), together[i])


@pytest.mark.parametrize("way", ["pairs", "neighbours"])
@PERIODIC
def test_momentum_is_conserved_and_translation_changes_nothing(way: str, periodic: bool) -> None:
    positions, side = gas(150, 2, 0.7)
    box = (side, side) if periodic else None

    def evaluate(x: Tensor) -> Tensor:
        pairs = all_pair_forces(x, box, DISCS.force)
        return pairs if way == "pairs" else neighbour_forces(x, box, 1.0, DISCS.force)

    forces = evaluate(positions)
    assert forces.sum(0).abs().max() < 1e-12 * 150
    moved = evaluate(positions + torch.tensor([1234.567, -98.7], dtype=torch.float64))
    torch.testing.assert_close(moved, forces, rtol=1e-9, atol=1e-9)
    if periodic:
        images = torch.randint(-3, 4, positions.shape, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(evaluate(positions + side * images.double()), forces, rtol=1e-11, atol=1e-11)


def test_forces_do_not_depend_on_the_order_of_the_particles() -> None:
    positions, side = gas(300, 2, 0.7)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(2))
    for evaluate in (all_pair_forces, lambda x, box, force: neighbour_forces(x, box, 1.0, force)):
        forces = evaluate(positions, (side, side), DISCS.force)
        torch.testing.assert_close(
            evaluate(positions[order], (side, side), DISCS.force), forces[order], rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize("way", ["pairs", "neighbours"])
def test_derivatives_pass_through_both_ways(way: str) -> None:
    positions, side = gas(40, 2, 0.8)
    box = (side, side)

    def energy(x: Tensor) -> Tensor:
        apart = x.unsqueeze(-2) - x.unsqueeze(-3)
        apart = apart - side * torch.round(apart / side)
        return 0.5 * (DISCS.energy(apart).sum() - 40 * DISCS.energy(torch.zeros(2)))

    def evaluate(x: Tensor) -> Tensor:
        if way == "pairs":
            return all_pair_forces(x, box, DISCS.force)
        return neighbour_forces(x, box, 1.0, DISCS.force)

    torch.testing.assert_close(evaluate(positions), -torch.func.grad(energy)(positions), rtol=1e-11, atol=1e-11)
    direction = torch.randn(40, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    tangent = torch.func.jvp(evaluate, (positions,), (direction,))[1]
    difference = (evaluate(positions + 1e-6 * direction) - evaluate(positions - 1e-6 * direction)) / 2e-6
    torch.testing.assert_close(tangent, difference, rtol=1e-5, atol=1e-5)
    watched = positions.clone().requires_grad_()
    (evaluate(watched) * direction).sum().backward()
    torch.testing.assert_close(watched.grad, tangent, rtol=1e-10, atol=1e-10)  # the Hessian is symmetric


@pytest.mark.parametrize("way", ["pairs", "neighbours"])
def test_e2_particles_that_all_coincide_exert_finite_forces(way: str) -> None:
    positions = torch.full((300, 2), 0.3)
    way_forces: dict[str, Callable[[], Tensor]] = {
        "pairs": lambda: all_pair_forces(positions, (20.0, 20.0), DISCS.force),
        "neighbours": lambda: neighbour_forces(positions, (20.0, 20.0), 1.0, DISCS.force),
    }
    assert torch.equal(way_forces[way](), torch.zeros(300, 2))


def test_far_away_particles_in_open_space_and_states_that_are_not_finite_do_no_harm() -> None:
    positions = gas(300, 2, 0.7)[0]
    positions[7], positions[9, 1] = 1e9, math.inf
    forces = neighbour_forces(positions, None, 1.0, DISCS.force)
    others = [i for i in range(300) if i not in (7, 9)]
    expected = all_pair_forces(positions[others], None, DISCS.force)
    finite = torch.isfinite(forces[others]).all(-1)
    torch.testing.assert_close(forces[others][finite], expected[finite], rtol=1e-12, atol=1e-12)
    assert finite.sum() > 250


def test_the_way_is_chosen_by_size_and_never_by_the_number_of_paths() -> None:
    assert by_neighbours(4096, 2, (80.0, 80.0), 1.0)
    assert by_neighbours(4096, 2, None, 1.0)
    assert not by_neighbours(64, 2, (80.0, 80.0), 1.0)
    assert not by_neighbours(4096, 2, (2.5, 80.0), 1.0)
    assert not by_neighbours(4096, 2, (4.0, 4.0), 1.0)
    assert not by_neighbours(4096, 2, None, math.inf)


def test_a_box_that_is_too_narrow_is_refused() -> None:
    positions, force = torch.zeros(10, 2), DISCS.force
    with pytest.raises(ValueError, match="two cutoffs"):
        neighbour_forces(positions, (1.9, 5.0), 1.0, force)
    with pytest.raises(ValueError, match="third of the box"):
        neighbour_forces(positions, (2.9, 5.0), 1.0, force)
    with pytest.raises(ValueError, match="2 periods"):
        neighbour_forces(positions, (5.0,), 1.0, force)
    with pytest.raises(ValueError, match="Use all pairs"):
        neighbour_forces(positions, None, math.inf, force)
