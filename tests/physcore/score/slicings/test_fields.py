"""Fields against the Jacobians of their values, second moments against sums over every sign."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from physcore.registry import build, names, plain
from physcore.score import Pilot, slicings
from physcore.score.slicings import (
    DiffusionMatrix,
    ElementwiseWarp,
    GradientProjection,
    InverseJacobian,
    InverseMetric,
    MatrixFunction,
    QuadraticProjection,
    RandomFourier,
    Slicing,
    SlicingField,
    TailWeight,
)
from physcore.transform import AdditiveLogistic, Affine, Arcsinh, Arctan, Composition, Inverted, Power, Tanh
from simulations import OrnsteinUhlenbeck

properties = settings(max_examples=8, deadline=None, database=None, derandomize=True)
seeds = st.integers(0, 2**31)
EveryField = Callable[[Slicing, Tensor], list[SlicingField]]


def close(first: Tensor, second: Tensor) -> None:
    assert first.shape == second.shape
    assert float(((first - second) / (1 + second.abs())).abs().max()) < 1e-10


def jacobian(field: SlicingField, state: Tensor) -> Tensor:
    """Return the Jacobian of a field at one point, row by row."""
    point = state.clone().requires_grad_()
    # The sum with zeros serves fields that do not depend on the point.
    parts = (field.value(point) + 0 * point).unbind(-1)
    return torch.stack([torch.autograd.grad(part, point, retain_graph=True)[0] for part in parts])


@given(seed=seeds)
@properties
def test_derivatives_of_a_field_are_those_of_its_value(case: Any, every_field: EveryField, seed: int) -> None:
    state = case.points(seed, 1)[0]
    field = every_field(case.slicing, state)[seed % 2]
    value, slope = field.value(state), jacobian(field, state)
    close(field.divergence(state), slope.trace())
    close(field.advection(state), slope @ value)
    close(field.outer_divergence(state), slope @ value + slope.trace() * value)


@given(seed=seeds)
@properties
def test_second_moment_is_the_mean_over_every_field(case: Any, every_field: EveryField, seed: int) -> None:
    slicing, state = case.slicing, case.points(seed, 3)
    vector = torch.randn(3, 2, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    fields = every_field(slicing, state)
    values = [field.value(state) for field in fields]
    mean = torch.stack([value * (value * vector).sum(-1, keepdim=True) for value in values]).mean(0)
    close(slicing.second_moment(state, vector), mean)
    close(slicing.second_moment_divergence(state), torch.stack([f.outer_divergence(state) for f in fields]).mean(0))


def test_the_transposed_matrix_is_the_transpose_and_columns_are_its_columns(matrix_case: Any) -> None:
    slicing, state = matrix_case.slicing, matrix_case.points(4, 3)
    generator = torch.Generator().manual_seed(2)
    vector = torch.randn(3, slicing.columns(state), generator=generator, dtype=torch.float64)
    covector = torch.randn(3, 2, generator=generator, dtype=torch.float64)
    close((slicing.multiply(state, vector) * covector).sum(-1), (slicing.transposed(state, covector) * vector).sum(-1))
    close(slicing.transposed(state, covector), DiffusionMatrix.transposed(slicing, state, covector))
    columns = torch.stack([field.value(state) for field in slicing.column_fields(state)], -1)
    close((columns * vector.unsqueeze(-2)).sum(-1), slicing.multiply(state, vector))


def test_drawn_fields_have_one_field_a_point_and_the_second_moment(case: Any) -> None:
    slicing, many = case.slicing, 20_000
    state = case.points(3, 1).expand(many, 2)
    field = slicing.draw(state, torch.Generator().manual_seed(1))
    value = field.value(state)
    assert value.shape == state.shape
    assert field.outer_divergence(state).shape == state.shape
    vector = torch.tensor([0.7, -1.1], dtype=torch.float64)
    sampled = value * (value * vector).sum(-1, keepdim=True)
    exact = slicing.second_moment(state[:1], vector)[0]
    error = (sampled.mean(0) - exact).abs()
    assert (error <= 5 * sampled.std(0) / many**0.5 + 1e-10).all()
    again = slicing.draw(state, torch.Generator().manual_seed(1)).value(state)
    assert torch.equal(value, again)
    assert slicing.draw(state.float(), torch.Generator().manual_seed(1)).value(state.float()).dtype == torch.float32


@pytest.mark.parametrize("directions", ["gaussian", "sphere"])
def test_other_directions_have_unit_covariance(directions: str) -> None:
    slicing: Slicing = build("physcore.slicings", "linear", {"directions": directions})
    state = torch.zeros(20_000, 3, dtype=torch.float64)
    value = slicing.draw(state, torch.Generator().manual_seed(1)).value(state)
    covariance = value.mT @ value / len(value)
    assert float((covariance - torch.eye(3)).abs().max()) < 5 * 2**0.5 / len(value) ** 0.5
    if directions == "sphere":
        torch.testing.assert_close(value.square().sum(-1), torch.full((len(value),), 3.0, dtype=torch.float64))


@pytest.mark.parametrize("group", ["physcore.slicings", "physcore.diffusion_matrices"])
def test_registered_slicings_are_built_by_name_and_repeat_themselves(group: str) -> None:
    known = names(group)
    assert len(known) >= 4
    for name in known:
        slicing = build(group, name, {})
        assert isinstance(slicing, Slicing if group == "physcore.slicings" else DiffusionMatrix)
        assert eval(repr(slicing), {**vars(slicings), "Arcsinh": Arcsinh}) == slicing


def test_a_bijection_is_chosen_by_name() -> None:
    built = build("physcore.slicings", "inverse-jacobian", {"bijection": {"name": "arctan", "scale": 2.0}})
    assert built == InverseJacobian(bijection=Arctan(scale=2.0))


def test_a_chain_of_bijections_is_given_as_a_list() -> None:
    chain = [
        {"name": "affine", "matrix": [[1.0, 0.4], [-0.3, 0.8]], "shift": [0.5, 0.0]},
        {"name": "inverted", "bijection": {"name": "tanh", "scale": 3.0}},
        "arctan",
    ]
    bijection = {"name": "composition", "bijections": chain}
    built = build("physcore.diffusion_matrices", "inverse-jacobian", {"bijection": bijection})
    affine = Affine(matrix=[[1.0, 0.4], [-0.3, 0.8]], shift=[0.5, 0.0])
    parts = (affine, Inverted(bijection=Tanh(scale=3.0)), Arctan())
    assert built == InverseJacobian(bijection=Composition(bijections=parts))
    given = plain(built)
    assert build("physcore.diffusion_matrices", given.pop("name"), given) == built
    with pytest.raises(ValueError, match="unknown name 'tangent' among bijections"):
        build("physcore.bijections", "composition", {"bijections": ["tangent"]})
    with pytest.raises(ValueError, match="`matrix` must be"):
        build("physcore.bijections", "affine", {"matrix": [["one"]]})


def test_location_and_scale_of_tail_weight_are_measured() -> None:
    trap = OrnsteinUhlenbeck(drift_matrix=((-1.0, 0.0), (0.0, -1.0)), noise_matrix=((1.0, 0.0), (0.0, 1.0)))
    states = torch.randn(4, 50_000, 2, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0, 3.0]) + 2
    measured = TailWeight().fitted(Pilot(process=trap, times=torch.arange(4.0).double(), states=states))
    torch.testing.assert_close(torch.tensor(measured.locations), torch.tensor([2.0, 2.0]), rtol=0, atol=0.05)
    torch.testing.assert_close(torch.tensor(measured.scales), torch.tensor([1.0, 3.0]), rtol=0.02, atol=0)
    assert measured.fitted(Pilot(process=trap, times=torch.zeros(1).double(), states=states[:1])) is measured
    assert measured.restricted([1]) == TailWeight(locations=measured.locations[1:], scales=measured.scales[1:])
    same = Pilot(process=trap, times=torch.zeros(1).double(), states=torch.zeros(1, 9, 2))
    with pytest.raises(ValueError, match="`scales` cannot be measured"):
        TailWeight().fitted(same)


def test_d7_what_is_no_field_is_refused() -> None:
    state = torch.randn(3, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with pytest.raises(ValueError, match="each component by itself"):
        ElementwiseWarp(bijection=AdditiveLogistic())
    with pytest.raises(ValueError, match="`frequency`"):
        RandomFourier(frequency=0.0)
    with pytest.raises(ValueError, match="`curvature`"):
        QuadraticProjection(curvature=-1.0)
    for wrong in ({"scales": (1.0,)}, {"locations": (0.0,), "scales": (0.0,)}, {"exponent": math.nan}):
        with pytest.raises(ValueError, match=r"`(locations|scales|exponent)`"):
            TailWeight(**wrong)
    with pytest.raises(ValueError, match="not known yet"):
        TailWeight().multiply(state, state)
    with pytest.raises(ValueError, match="must have 1 components"):
        TailWeight(locations=(0.0,), scales=(1.0,)).multiply(state, state)
    with pytest.raises(ValueError, match="must be positive"):
        InverseJacobian(bijection=Power()).multiply(-state.abs(), state)
    with pytest.raises(ValueError, match="must return shape"):
        MatrixFunction(function=lambda x: x).multiply(state, state)
    with pytest.raises(ValueError, match="must return shape"):
        GradientProjection(function=lambda x: x).multiply(state, state[..., :1])
    with pytest.raises(ValueError, match="must return shape"):
        InverseMetric(metric=lambda x: x).multiply(state, state)
    with pytest.raises(ValueError, match="positive definite; it is not at index \\(0,\\)"):
        InverseMetric(metric=lambda x: -torch.eye(2, dtype=x.dtype).expand(*x.shape, 2)).multiply(state, state)
