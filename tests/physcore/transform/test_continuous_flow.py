"""Differences of scores along a flow are carried by the inverse Jacobian of the flow."""

import pytest
import torch
from torch import Tensor

from physcore.mixture import GaussianMixture
from physcore.transform import continuous_flow
from physcore.transform.continuous_flow import carry_score_difference

FIRST = GaussianMixture(means=((0.0, 1.0), (1.0, -1.0)), width=0.8)
SECOND = GaussianMixture(means=((0.2, 0.8), (0.7, -1.1)), width=0.9)


def swirl(state: Tensor, time: Tensor) -> Tensor:
    x, y = state.unbind(-1)
    return torch.stack([torch.sin(y + time), torch.cos(x) * torch.tanh(y)], -1)


def test_it_is_the_inverse_transposed_jacobian_of_the_flow() -> None:
    states = SECOND.sample(4, torch.Generator().manual_seed(1))
    apart = FIRST.score(states) - SECOND.score(states)
    carried = carry_score_difference(swirl, states, apart, [0.0, 0.4, 1.0], tolerance=1e-12)
    step = 1e-4
    columns = []
    for axis in torch.eye(2, dtype=torch.float64):
        ends = [
            carry_score_difference(swirl, states + sign * step * axis, apart, [0.0, 1.0], tolerance=1e-12).state[-1]
            for sign in (1, -1)
        ]
        columns.append((ends[0] - ends[1]) / (2 * step))
    jacobian = torch.stack(columns, -1)
    expected = torch.linalg.solve(jacobian.mT, apart.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(carried.difference[-1], expected, rtol=1e-6, atol=1e-6)
    gained = 0.5 * (carried.difference.square() - apart.square()).sum(-1)
    torch.testing.assert_close(carried.gain, gained, rtol=1e-9, atol=1e-9)


def test_there_and_back_is_where_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(continuous_flow, "STATES", 3)
    states = SECOND.sample(7, torch.Generator().manual_seed(2))
    apart = FIRST.score(states) - SECOND.score(states)
    there = carry_score_difference(swirl, states, apart, [0.0, 1.0], tolerance=1e-11)
    assert there.state.shape == (2, 7, 2)
    assert float((there.difference[-1] - apart).abs().max()) > 0.1
    back = carry_score_difference(swirl, there.state[-1], there.difference[-1], [1.0, 0.0], tolerance=1e-11)
    torch.testing.assert_close(back.state[-1], states, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(back.difference[-1], apart, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(back.gain[-1], -there.gain[-1], rtol=1e-9, atol=1e-9)


def test_a_velocity_that_does_not_depend_on_the_state_only_moves() -> None:
    states = torch.ones(3, 2, dtype=torch.float64)
    carried = carry_score_difference(lambda x, t: torch.ones_like(x) * t, states, states, [0.0, 2.0])
    torch.testing.assert_close(carried.state[-1], states + 2.0)
    torch.testing.assert_close(carried.difference[-1], states)
    assert not carried.gain.any()
