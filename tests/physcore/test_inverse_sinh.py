"""The inverse hyperbolic sine to rounding, from the smallest numbers to the largest."""

import math

import pytest
import torch

from physcore.inverse_sinh import inverse_sinh


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_it_is_right_to_rounding_at_all_sizes(dtype: torch.dtype) -> None:
    known = torch.finfo(dtype)
    smallest, largest = math.log10(known.tiny), math.log10(0.5 * known.max)
    sizes = torch.logspace(smallest + 1, largest - 0.01, 4001, dtype=torch.float64)
    values = torch.cat([sizes.to(dtype), -sizes.to(dtype), torch.zeros(1, dtype=dtype)])
    exact = torch.asinh(values.double())
    error = (inverse_sinh(values).double() - exact).abs()
    assert (error <= 4 * torch.finfo(dtype).eps * exact.abs()).all()
    assert inverse_sinh(values).dtype == dtype


def test_it_can_be_differentiated_at_zero() -> None:
    point = torch.zeros(3, requires_grad=True)
    inverse_sinh(point).sum().backward()
    assert point.grad is not None
    assert (point.grad == 1).all()
