r"""Forces over neighbours, found by cells no smaller than the cutoff.

The cells of a row lie one after the other, so the partners of a particle in the rest of its cell and in the next one,
and in three cells of each row above, stand one after the other in the sorted order. Pairs are listed range by range,
each pair once, in lists as long as they need to be: nothing has a capacity that could overflow. In open space cells far
apart share a number; the distance decides, so this costs a little time and changes nothing.

Source: Allen and Tildesley, Computer Simulation of Liquids (2017), section 5.3, cell structures. Ranges over rows are
derived.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from simulations.interactions.box import check_box, displacements

__all__ = ["neighbour_forces"]

# Cells are wider than the cutoff by this, so that rounding never hides a pair at the cutoff.
MARGIN = 1e-6
FEWEST_CELLS = 3  # in each direction, else a neighbour would be met from both sides
LARGEST_CHUNK = 1 << 16  # particles at a time, to keep the lists of pairs in the cache


def neighbour_forces(
    positions: Tensor, box: Sequence[float] | None, cutoff: float, force: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return the forces on all particles from neighbours within the cutoff.

    The result of a system does not depend on the others in the batch. Forward and reverse derivatives pass through.

    Arguments:
        positions: Positions, shape ``(..., particle, dimension)``, [length].
        box: Periods, one for each direction, at least three cutoffs each; None in open space.
        cutoff: Distance from which on the force vanishes, [length].
        force: Odd pair force as a function of displacements ``(..., dimension)``, zero from the cutoff on.

    Returns:
        Shape of ``positions``, [energy / length]; equal to that of all pairs up to the order of the sums.

    Raises:
        ValueError: If the cutoff is not finite or the box is narrower than three cutoffs.
    """
    particles, dimension = positions.shape[-2:]
    check_box(box, dimension, cutoff)
    shape = cells_across(particles, dimension, box, cutoff)
    if not math.isfinite(cutoff) or min(shape) < FEWEST_CELLS:
        raise ValueError(f"`cutoff` must be at most a third of the box {box}; got {cutoff}. Use all pairs.")
    systems = positions.reshape(-1, particles, dimension)
    if systems.shape[0] == 0:
        return torch.zeros_like(positions)
    step = max(1, LARGEST_CHUNK // particles)
    chunks = (systems[start : start + step] for start in range(0, systems.shape[0], step))
    parts = [_forces(chunk, box, cutoff, force, shape) for chunk in chunks]
    return torch.cat(parts).reshape(positions.shape)


def cells_across(particles: int, dimension: int, box: Sequence[float] | None, cutoff: float) -> tuple[int, ...]:
    """Return the number of cells in each direction: about one for each particle, and none below the cutoff.

    Arguments:
        particles: Number of particles.
        dimension: Number of directions.
        box: Periods, one for each direction; None in open space.
        cutoff: Least width of a cell.
    """
    wanted = max(FEWEST_CELLS, math.ceil(particles ** (1 / dimension)))
    if box is None:
        return (wanted,) * dimension
    volume = math.prod(box)
    widest = max(cutoff * (1 + MARGIN), (volume / max(particles, FEWEST_CELLS**dimension)) ** (1 / dimension))
    return tuple(max(min(FEWEST_CELLS, math.floor(length / cutoff)), math.floor(length / widest)) for length in box)


def _forces(
    systems: Tensor,
    box: Sequence[float] | None,
    cutoff: float,
    force: Callable[[Tensor], Tensor],
    shape: tuple[int, ...],
) -> Tensor:
    """Return the forces in a few systems, shape ``(system, particle, dimension)``."""
    count, particles, dimension = systems.shape
    columns = [x.reshape(-1) for x in systems.unbind(-1)]
    first, second = neighbour_pairs([x.detach() for x in columns], count, box, cutoff, shape)
    forces = force(displacements(columns, first, second, box))
    felt = [
        torch.zeros_like(x).scatter_add(0, first, part).scatter_add(0, second, -part)
        for x, part in zip(columns, forces.unbind(-1), strict=True)
    ]
    return torch.stack(felt).reshape(dimension, count, particles).permute(1, 2, 0)


def neighbour_pairs(
    columns: Sequence[Tensor], systems: int, box: Sequence[float] | None, cutoff: float, shape: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Return all pairs of particles in cells that touch, each once: all pairs within the cutoff, and some beyond.

    Arguments:
        columns: Positions in each direction, all systems in a row, shape ``(system * particle,)``.
        systems: Number of systems.
        box: Periods, one for each direction; None in open space.
        cutoff: Least width of a cell.
        shape: Cells in each direction, at least 3.

    Returns:
        First and second particle of each pair, shape ``(pair,)``.
    """
    total, device = len(columns[0]), columns[0].device
    grid = {name: table.to(device) for name, table in _grid(systems, shape).items()}
    cell, order = torch.sort(_cells(columns, systems, box, cutoff, shape), stable=True)
    counts = torch.bincount(cell, minlength=systems * math.prod(shape))
    ends = counts.cumsum(0)
    starts = ends - counts
    # Each row stands twice in the list of partners, so that a range runs on from its last cell to its first.
    row_starts = starts.index_select(0, grid["row_first"])
    row_counts = ends.index_select(0, grid["row_last"]) - row_starts
    here = torch.arange(total, device=device)
    once = here + row_starts.index_select(0, cell)
    partners = torch.empty(2 * total, dtype=torch.long, device=device)
    partners.scatter_(0, once, order).scatter_(0, once + row_counts.index_select(0, cell), order)
    after = counts.index_select(0, grid["after"])
    three = counts.index_select(0, grid["before"]) + counts + after
    first_of_three = (starts + row_starts).index_select(0, grid["before"])
    begins, lengths = [once + 1], [(ends + after).index_select(0, cell) - here - 1]
    for name in _rows_above(len(shape)):
        above = grid[name].index_select(0, cell)
        begins.append(first_of_three.index_select(0, above))
        lengths.append(three.index_select(0, above))
    return _expanded(torch.cat([order] * len(begins)), partners, torch.cat(begins), torch.cat(lengths))


@functools.lru_cache(maxsize=8)
def _grid(systems: int, shape: tuple[int, ...]) -> dict[str, Tensor]:
    """Return, for each cell of each system, the first and last of its row, those beside it and those above it."""
    numbers = torch.arange(systems * math.prod(shape)).reshape(systems, *shape)
    tables = {
        "row_first": numbers[..., :1].expand_as(numbers),
        "row_last": numbers[..., -1:].expand_as(numbers),
        "before": numbers.roll(1, -1),
        "after": numbers.roll(-1, -1),
    }
    axes = tuple(range(1, len(shape)))
    tables |= {name: numbers.roll(step, axes) for name, step in _rows_above(len(shape)).items()}
    return {name: table.flatten() for name, table in tables.items()}


def _cells(
    columns: Sequence[Tensor], systems: int, box: Sequence[float] | None, cutoff: float, shape: tuple[int, ...]
) -> Tensor:
    """Return the cell of each particle, row by row, system by system."""
    cell = torch.arange(systems, device=columns[0].device).repeat_interleave(len(columns[0]) // systems)
    for axis, (x, across) in enumerate(zip(columns, shape, strict=True)):
        if box is None:
            place = torch.floor(x.double() / (cutoff * (1 + MARGIN)))
            place = place - across * torch.floor(place / across)
        else:
            turns = x.double() / box[axis]
            place = (turns - torch.floor(turns)) * across
        # Rounding may reach the far end, and a state that is not finite any number; its force is not finite either.
        cell = cell * across + place.nan_to_num(0.0).long().clamp(0, across - 1)
    return cell


def _rows_above(dimension: int) -> dict[str, tuple[int, ...]]:
    """Return half of the steps to neighbouring rows, as shifts that bring a row's entry to the row below it."""
    steps = itertools.product((-1, 0, 1), repeat=dimension - 1)
    half = [step for step in steps if step > (0,) * (dimension - 1)]
    return {f"above{i}": tuple(-s for s in step) for i, step in enumerate(half)}


def _expanded(owners: Tensor, partners: Tensor, begins: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pairs of each owner with a range of partners, shape ``(pair,)``."""
    ends = lengths.cumsum(0)
    total = int(ends[-1])
    owner = torch.repeat_interleave(lengths, output_size=total)
    places = torch.arange(total, device=owners.device) + (begins - ends + lengths).index_select(0, owner)
    return owners.index_select(0, owner), partners.index_select(0, places)
