"""Initial value problems of tensors against closed forms."""

import math

import pytest
import torch
from torch import Tensor

from physcore.errors import NumericalError
from physcore.initial_value_problem import solved


def test_tensors_of_several_shapes_follow_their_closed_forms_in_both_directions() -> None:
    start = (torch.tensor([[1.0, 0.5], [2.0, -1.0]], dtype=torch.float64), torch.zeros(2, dtype=torch.float64))

    def rate(time: Tensor, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return -time * tensors[0], tensors[0].sum(-1) * 0 + torch.cos(time)

    for times in ([0.0, 0.5, 1.5], [0.0, -1.0]):
        states, integrals = solved(rate, start, times, 1e-10, "a problem")
        for i, time in enumerate(times[1:]):
            torch.testing.assert_close(states[i], start[0] * math.exp(-0.5 * time**2), rtol=1e-9, atol=1e-9)
            expected = torch.full((2,), math.sin(time), dtype=torch.float64)
            torch.testing.assert_close(integrals[i], expected, rtol=1e-9, atol=1e-9)
    assert states.shape == (1, 2, 2)


def test_what_leaves_the_finite_numbers_is_refused_with_its_name() -> None:
    start = (torch.ones(1, dtype=torch.float64),)
    with pytest.raises(NumericalError, match="an explosion broke off between 0 and 2"):
        solved(lambda time, tensors: (tensors[0] ** 2,), start, [0.0, 2.0], 1e-6, "an explosion")


def test_a_rate_is_never_asked_for_at_what_a_step_too_far_makes() -> None:
    start, asked = (torch.full((1,), 3.0, dtype=torch.float64),), []

    def rate(time: Tensor, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        asked.append(float(tensors[0].abs().max()))
        return (tensors[0] ** 9,)

    with pytest.raises(NumericalError, match="an explosion broke off"):
        solved(rate, start, [0.0, 2.0], 1e-6, "an explosion")
    assert max(asked) < 1e30
