"""The Fisher divergence of two laws along a flow."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from analysis import fisher_divergence_along_flow
from physcore.mixture import GaussianMixture
from physcore.reverse import ProbabilityFlow
from physcore.transform import Affine, transform_score
from simulations import OrnsteinUhlenbeck

FIRST = GaussianMixture(means=((0.0, 1.0), (1.0, -1.0)), width=0.8)
SECOND = GaussianMixture(means=((0.2, 0.8), (0.7, -1.1)), width=0.9)
STATES = SECOND.sample(300, torch.Generator().manual_seed(1))
APART = FIRST.score(STATES) - SECOND.score(STATES)
TIMES = [0.0, 0.3, 0.7, 1.0]


def shear(state: Tensor, time: Tensor) -> Tensor:
    x, y = state.unbind(-1)
    return torch.stack([torch.sin(y) + 0.3 * x, torch.cos(time) * torch.tanh(x) - 0.2 * y], -1)


def test_a_uniform_expansion_shrinks_it_exponentially() -> None:
    result = fisher_divergence_along_flow(lambda x, t: 0.7 * x, STATES, APART, TIMES)
    start = float(0.5 * APART.square().sum(-1).mean())
    np.testing.assert_allclose(result["value"], start * np.exp(-1.4 * np.array(TIMES)), rtol=1e-9)
    np.testing.assert_allclose(result["rate"], -1.4 * result["value"], rtol=1e-9)
    assert float(result["integration_error"].max()) < 1e-6 * start


def test_a_rotation_keeps_it() -> None:
    def rotation(state: Tensor, time: Tensor) -> Tensor:
        return (1 + time) * state.flip(-1) * torch.tensor([-1.0, 1.0], dtype=state.dtype)

    result = fisher_divergence_along_flow(rotation, STATES, APART, TIMES)
    np.testing.assert_allclose(result["value"], float(result["value"][0]), rtol=1e-8)
    assert float(np.abs(result["gain"]).max()) < 1e-12


def test_the_integral_of_the_rate_is_what_it_gains() -> None:
    result = fisher_divergence_along_flow(shear, STATES, APART, TIMES)
    np.testing.assert_allclose(result["gain"], result["value"] - result["value"][0], rtol=0, atol=1e-8)
    assert float(np.abs(result["gain"]).max()) > 0.05


def test_the_rate_is_the_slope_of_the_value() -> None:
    step = 1e-3
    result = fisher_divergence_along_flow(shear, STATES, APART, [0.0, 0.5 - step, 0.5, 0.5 + step])
    slope = float(result["value"][3] - result["value"][1]) / (2 * step)
    assert float(result["rate"][2]) == pytest.approx(slope, rel=1e-5)


def test_its_relative_rate_is_at_most_twice_the_largest_strain() -> None:
    result = fisher_divergence_along_flow(shear, STATES, APART, TIMES)
    assert float(np.abs(result["rate"] / result["value"]).max()) <= 2 * 1.3, "no entry of its gradient is above 1"
    x, y = STATES.unbind(-1)
    rows = [torch.stack([0.3 + 0 * x, torch.cos(y)], -1), torch.stack([1 - torch.tanh(x) ** 2, -0.2 + 0 * x], -1)]
    gradient = torch.stack(rows, -2)
    strain = torch.linalg.eigvalsh(0.5 * (gradient + gradient.mT)).abs().max()
    assert abs(float(result["rate"][0] / result["value"][0])) <= 2 * float(strain)


def test_a_linear_flow_is_the_map_of_its_exponential() -> None:
    generator = torch.tensor([[0.3, -1.0], [0.4, -0.2]], dtype=torch.float64)
    end = 1.3
    result = fisher_divergence_along_flow(lambda x, t: x @ generator.mT, STATES, APART, [0.0, end])
    bijection = Affine(matrix=torch.linalg.matrix_exp(end * generator).tolist())
    carried = [transform_score(bijection, STATES, law.score(STATES)) for law in (FIRST, SECOND)]
    expected = 0.5 * (carried[0] - carried[1]).square().sum(-1)
    assert float(result["value"][1]) == pytest.approx(float(expected.mean()), rel=1e-9)
    assert float(result["standard_error"][1]) == pytest.approx(float(expected.std()) / math.sqrt(300), rel=1e-9)
    assert float(result["integration_error"][1]) > abs(float(result["value"][1]) - float(expected.mean()))


def test_the_rate_is_the_slope_of_the_divergence_of_transformed_scores() -> None:
    """Finite differences of what the maps at two times make of both scores."""
    generator, step = torch.tensor([[0.3, -1.0], [0.4, -0.2]], dtype=torch.float64), 1e-4

    def divergence(time: float) -> float:
        bijection = Affine(matrix=torch.linalg.matrix_exp(time * generator).tolist())
        carried = [transform_score(bijection, STATES, law.score(STATES)) for law in (FIRST, SECOND)]
        return float(0.5 * (carried[0] - carried[1]).square().sum(-1).mean())

    result = fisher_divergence_along_flow(lambda x, t: x @ generator.mT, STATES, APART, [0.0, 0.8])
    slope = (divergence(0.8 + step) - divergence(0.8 - step)) / (2 * step)
    assert float(result["rate"][1]) == pytest.approx(slope, rel=1e-6)


def test_back_and_forth_is_where_it_began() -> None:
    there = fisher_divergence_along_flow(shear, STATES, APART, [0.0, 1.0])
    assert float(there["value"][0]) == pytest.approx(float(0.5 * APART.square().sum(-1).mean()))
    back = fisher_divergence_along_flow(shear, STATES, APART, [1.0, 0.0])
    assert float(back["value"][1]) != pytest.approx(float(there["value"][1]), rel=1e-3)


def test_along_the_probability_flow_an_initial_error_decays_to_that_of_the_flow() -> None:
    """Two Gaussian laws carried by the exact flow of a trap: both stay Gaussian, by the linear map of the flow."""
    trap = OrnsteinUhlenbeck.rotating_trap(stiffness=1.0, rotation=0.5)
    flow = ProbabilityFlow(process=trap, score=trap)
    states = trap.sample_initial(200, torch.Generator().manual_seed(2)).double()
    score = trap.score(states, torch.tensor(0.0, dtype=torch.float64))
    result = fisher_divergence_along_flow(flow.velocity, states, 0.5 * score, [0.0, 0.5])
    moved = flow.transport(states, 0.0, 0.5)
    # What is linear in the score stays so: the difference is half the score of the law carried on.
    later = 0.5 * trap.score(moved, torch.tensor(0.5, dtype=torch.float64))
    assert float(result["value"][1]) == pytest.approx(float(0.5 * later.square().sum(-1).mean()), rel=1e-5)


@pytest.mark.parametrize(
    ("times", "states", "tolerance", "match"),
    [
        ([0.0], STATES, 1e-8, "`times`"),
        ([0.0, 1.0, 0.5], STATES, 1e-8, "`times`"),
        ([0.0, math.inf], STATES, 1e-8, "finite"),
        ([0.0, 1.0], STATES[:1], 1e-8, "2 samples"),
        ([0.0, 1.0], STATES[:9], 1e-8, "shape"),
        ([0.0, 1.0], STATES, 2.0, "`tolerance`"),
    ],
    ids=["one time", "order", "infinite", "one sample", "shapes", "tolerance"],
)
def test_bad_input_is_refused(times: list[float], states: Tensor, tolerance: float, match: str) -> None:
    apart = APART[:1] if len(states) == 1 else APART
    with pytest.raises(ValueError, match=match):
        fisher_divergence_along_flow(lambda x, t: x, states, apart, times, tolerance=tolerance)
