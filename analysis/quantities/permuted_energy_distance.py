r"""Energy distance between two sets of points, with its noise floor by permutation.

.. math:: \mathcal E = 2 E|X - Y| - E|X - X'| - E|Y - Y'|

If both sets come from one law their labels mean nothing: the distances after random exchanges of points between the
sets are what the distance scatters by, and the share of them that reach it is the significance of the difference.

Source: Szekely and Rizzo, Energy statistics: a class of statistics based on distances (2013), section 6; Phipson and
Smyth, Permutation p-values should never be zero (2010).
"""

import torch
import xarray as xr
from torch import Tensor

__all__ = ["permuted_energy_distance"]


def permuted_energy_distance(
    first: Tensor, second: Tensor, *, permutations: int = 200, seed: int = 0, level: float = 0.95
) -> xr.Dataset:
    """Return the energy distance of two sets of points, and what it would be between halves of one law.

    Arguments:
        first: Independent points, shape ``(point, component)``, two or more.
        second: Points independent of these and of each other, shape ``(point, component)``.
        permutations: Number of random exchanges, two or more.
        seed: Seed of the exchanges.
        level: Quantile of the exchanged distances that is the noise floor.

    Returns:
        Dataset without dimensions: ``value``, without bias and so negative about as often as positive where the laws
        are equal; ``standard_error``, the standard deviation of the exchanged distances; ``floor``, their quantile; and
        ``significance``, the share of them that are as large, itself counted. Its cost grows with the square of the
        number of points.

    Raises:
        ValueError: If the shapes do not fit, a number is not finite or a setting is out of range.
    """
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1] or min(len(first), len(second)) < 2:
        raise ValueError(
            "`first` and `second` must be two or more points of the same number of components; got shapes "
            f"{tuple(first.shape)} and {tuple(second.shape)}."
        )
    if permutations < 2 or not 0 < level < 1:
        raise ValueError(f"`permutations` must be 2 or more and `level` in (0, 1); got {permutations} and {level}.")
    points = torch.cat([first.double(), second.double()])
    if not bool(points.isfinite().all()):
        raise ValueError("the points must be finite.")
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    generator = torch.Generator().manual_seed(seed)
    labels = torch.zeros(len(points), dtype=torch.float64)
    labels[: len(first)] = 1
    orders = [torch.randperm(len(points), generator=generator) for _ in range(permutations)]
    found = _distances(distances, torch.stack([labels, *(labels[order] for order in orders)], -1))
    value, exchanged = found[0], found[1:]
    reached = (1 + int((exchanged >= value).sum())) / (1 + permutations)
    numbers = {
        "value": (float(value), "energy distance"),
        "standard_error": (float(exchanged.std()), "standard deviation of exchanged distances"),
        "floor": (float(exchanged.quantile(level)), f"quantile {level:g} of exchanged distances"),
        "significance": (reached, "share of exchanged distances that are as large"),
    }
    variables = {name: ((), number, {"long_name": title}) for name, (number, title) in numbers.items()}
    return xr.Dataset(variables, attrs={"permutations": permutations, "first": len(first), "second": len(second)})


def _distances(distances: Tensor, labels: Tensor) -> Tensor:
    """Return the energy distances of divisions of points, each a column of labels, 1 in the first set and else 0."""
    others = 1 - labels
    n, m = labels.sum(0), others.sum(0)
    towards = distances @ labels
    within, between = (labels * towards).sum(0), (others * towards).sum(0)
    beyond = (others * (distances @ others)).sum(0)
    return 2 * between / (n * m) - within / (n * (n - 1)) - beyond / (m * (m - 1))
