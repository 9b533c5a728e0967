"""Interpolation in octaves against the functions themselves."""

import math

import pytest
import torch
from torch import Tensor

from physcore.octaves import MOST_POINTS, interpolated, octaves, points_for_exponential

EPSILON = torch.finfo(torch.float64).eps


def powers(x: Tensor) -> tuple[Tensor, ...]:
    return torch.exp(-2 * x), torch.stack([x**3, x * torch.exp(x)])


@pytest.mark.parametrize(("smallest", "largest"), [(1e-3, 1.0), (0.9, 1.0), (0.5, 1.0), (1.0, 1.0)])
def test_values_keep_all_digits_over_orders_of_magnitude(smallest: float, largest: float) -> None:
    x = torch.cat([torch.linspace(smallest, largest, 301, dtype=torch.float64), torch.tensor([smallest, largest])])
    points = points_for_exponential(2 * largest, EPSILON)
    assert points is not None
    for value, exact in zip(interpolated(powers, x, points), powers(x), strict=True):
        assert value.shape == exact.shape
        assert float((value / exact - 1).abs().max()) < 1e-13
    rough = interpolated(powers, x, 3)[0] / powers(x)[0] - 1
    assert smallest == largest or float(rough.abs().max()) > 1e-9


def test_the_function_is_asked_once_at_points_of_every_octave() -> None:
    asked = []

    def function(x: Tensor) -> tuple[Tensor, ...]:
        asked.append(x)
        return (x,)

    x = torch.linspace(0.1, 1.1, 1000)
    (value,) = interpolated(function, x, 5)
    assert value.dtype == x.dtype
    assert torch.allclose(value, x, rtol=1e-6)
    (places,) = asked
    assert len(places) == 5 * octaves(x)
    assert places.dtype == torch.float64


def test_octaves_cover_all_values() -> None:
    assert octaves(torch.tensor([1.0])) == 1
    assert octaves(torch.tensor([1.0, 2.0])) == 1
    assert octaves(torch.tensor([1.0, 2.1, 5.0])) == 3


def test_fast_exponentials_take_more_points_until_too_many() -> None:
    slow, fast = points_for_exponential(0.1, EPSILON), points_for_exponential(10.0, EPSILON)
    assert slow is not None
    assert fast is not None
    assert slow < fast <= MOST_POINTS
    assert points_for_exponential(1e3, EPSILON) is None
    assert points_for_exponential(math.inf, EPSILON) is None
