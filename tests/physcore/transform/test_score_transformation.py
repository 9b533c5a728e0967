"""The transformed score is the gradient of the transformed log density, in every form and in both directions."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from physcore.law import Gaussian
from physcore.mixture import GaussianMixture
from physcore.transform import (
    AdditiveLogistic,
    Affine,
    Bijection,
    Composition,
    Inverted,
    Tanh,
    sliced_score,
    transform_score,
)
from physcore.transform.fused_carry import SMALLEST, fused_carry

Case = tuple[Bijection, Tensor]
RandomCase = Callable[[str, int], Case]
FORMS = ("log-determinant", "inverse", "divergence")
KINDS = (
    "affine",
    "tanh",
    "arcsinh",
    "arctan",
    "power",
    "simplex",
    "polar",
    "shear",
    "chain",
    "chain-to-the-simplex",
    "selected",
    "turning",
)

properties = settings(max_examples=12, deadline=None, database=None, derandomize=True)
seeds = st.integers(0, 2**31)


def random_law(dimension: int, seed: int) -> GaussianMixture:
    generator = torch.Generator().manual_seed(seed)
    means = torch.randn(3, dimension, generator=generator).tolist()
    return GaussianMixture(means=tuple(map(tuple, means)), width=0.5 + float(torch.rand((), generator=generator)))


def transformed_log_density(bijection: Bijection, law: GaussianMixture) -> Callable[[Tensor], Tensor]:
    def log_density(image: Tensor) -> Tensor:
        origin = bijection.inverse(image)
        return law.log_density(origin) - bijection.log_determinant(origin)

    return log_density


def expected_score(bijection: Bijection, state: Tensor, law: GaussianMixture) -> Tensor:
    log_density = transformed_log_density(bijection, law)
    gradient: Tensor = torch.func.grad(lambda y: log_density(y).sum())(bijection.forward(state))
    return gradient


def close(first: Tensor, second: Tensor) -> None:
    """Hold two results within 1e-10 of the size of a row: a score near a boundary is large."""
    size = 1 + second.abs().amax(-1, keepdim=True)
    assert float(((first - second) / size).abs().max()) < 1e-10


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_form_is_the_gradient_of_the_log_density(random_case: RandomCase, kind: str, form: str) -> None:
    @properties
    @given(seeds)
    def check(seed: int) -> None:
        bijection, state = random_case(kind, seed)
        law = random_law(state.shape[-1], seed)
        expected = expected_score(bijection, state, law)
        close(transform_score(bijection, state, law.score(state), form=form), expected)  # type: ignore[arg-type]

    check()


@pytest.mark.parametrize("kind", KINDS)
def test_the_other_direction_undoes_it(random_case: RandomCase, kind: str) -> None:
    @properties
    @given(seeds)
    def check(seed: int) -> None:
        bijection, state = random_case(kind, seed)
        score, back = random_law(state.shape[-1], seed).score(state), Inverted(bijection=bijection)
        image, carried = bijection.forward(state), transform_score(bijection, state, score)
        for form in FORMS:
            close(transform_score(back, image, carried, form=form), score)
        close(bijection.pull_score(state, carried), score)

    check()


@pytest.mark.parametrize("kind", KINDS)
def test_points_and_scores_carried_together_are_those_carried_apart(random_case: RandomCase, kind: str) -> None:
    @properties
    @given(seeds)
    def check(seed: int) -> None:
        bijection, state = random_case(kind, seed)
        score = random_law(state.shape[-1], seed).score(state)
        image, carried = bijection.carry_score(state, score)
        close(image, bijection.forward(state))
        close(carried, Bijection.push_score(bijection, state, score))
        for way in (bijection.return_score, Inverted(bijection=bijection).carry_score):
            origin, back = way(image, carried)
            close(origin, state)
            close(back, score)
        close(Inverted(bijection=bijection).return_score(state, score)[1], carried)

    check()


@pytest.mark.parametrize("kind", KINDS)
def test_the_sliced_form_is_the_product_with_the_direction(random_case: RandomCase, kind: str) -> None:
    @properties
    @given(seeds)
    def check(seed: int) -> None:
        bijection, state = random_case(kind, seed)
        law = random_law(state.shape[-1], seed)
        direction = torch.randn(state.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        expected = (direction * expected_score(bijection, state, law)).sum(-1, keepdim=True)
        close(sliced_score(bijection, state, law.score(state), direction).unsqueeze(-1), expected)

    check()


def test_the_divergence_of_a_sliced_field_is_minus_the_slope_of_the_log_determinant(case: Case) -> None:
    bijection, state = case
    direction = torch.arange(1.0, 1.0 + state.shape[-1], dtype=torch.float64)
    field = [torch.func.jacrev(lambda x: bijection.inverse_push(x, direction))(point) for point in state]
    divergence = torch.stack([jacobian.diagonal().sum() for jacobian in field])
    slope = sliced_score(bijection, state, torch.zeros_like(state), direction)
    torch.testing.assert_close(slope, divergence, rtol=1e-10, atol=1e-10)


def test_the_divergence_of_the_rows_is_wrong(random_case: RandomCase) -> None:
    bijection, state = random_case("chain", 3)
    score = random_law(state.shape[-1], 3).score(state)
    inverse = [torch.func.jacrev(lambda x: torch.linalg.inv(torch.func.jacrev(bijection.forward)(x)))(x) for x in state]
    rows = torch.stack([torch.einsum("kii->k", derivative) for derivative in inverse])
    wrong = bijection.inverse_pull(state, score) + rows
    with pytest.raises(AssertionError):
        close(wrong, transform_score(bijection, state, score, form="divergence"))


@pytest.mark.parametrize("dimension", [2, 10, 100])
def test_it_holds_in_many_dimensions(random_affine: Callable[[int, int], Affine], dimension: int) -> None:
    bijection = Composition(bijections=(Tanh(scale=5.0), random_affine(dimension, 1), AdditiveLogistic()))
    state = torch.randn(3, dimension, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    law = random_law(dimension, 2)
    close(transform_score(bijection, state, law.score(state)), expected_score(bijection, state, law))


def test_layers_in_a_chain_are_the_layers_in_turn() -> None:
    first, second = Tanh(scale=2.0), Affine(matrix=[[1.0, 0.5], [-0.2, 2.0]])
    state = torch.randn(5, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    score = random_law(2, 1).score(state)
    by_hand = transform_score(second, first.forward(state), transform_score(first, state, score))
    close(transform_score(Composition(bijections=(first, second)), state, score), by_hand)


def test_a_logistic_normal_law_has_its_closed_form() -> None:
    mean, variance = torch.tensor([0.3, -0.5], dtype=torch.float64), 0.6
    law = Gaussian(mean=mean, covariance=variance * torch.eye(2, dtype=torch.float64))
    state = torch.randn(20, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    y, gap = AdditiveLogistic().forward(state), state - mean
    last = 1 - y.sum(-1, keepdim=True)
    expected = -(gap.sum(-1, keepdim=True) / last + gap / y) / variance + (y - last) / (y * last)
    close(transform_score(AdditiveLogistic(), state, law.score(state)), expected)


def test_differences_of_scores_lose_the_determinant(random_case: RandomCase) -> None:
    bijection, state = random_case("chain-to-the-simplex", 5)
    first, second = (random_law(state.shape[-1], seed).score(state) for seed in (1, 2))
    carried = transform_score(bijection, state, first) - transform_score(bijection, state, second)
    close(carried, bijection.inverse_pull(state, first - second))


def test_the_result_is_differentiable_in_the_score() -> None:
    score = torch.ones(4, 2, dtype=torch.float64, requires_grad=True)
    transform_score(AdditiveLogistic(), torch.zeros(4, 2, dtype=torch.float64), score).sum().backward()
    assert score.grad is not None
    assert score.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("state", "score", "settings_", "what"),
    [
        (torch.zeros(3, 2), torch.zeros(3, 3), {}, "shape of `state`"),
        (torch.zeros(3, 2), torch.full((3, 2), float("nan")), {}, r"`score` must be finite.*\(0, 0\)"),
        (torch.full((3, 2), float("inf")), torch.zeros(3, 2), {}, "`state` must be finite"),
        (torch.zeros(3, 2), torch.zeros(3, 2), {"form": "hessian"}, "`form` must be one of log-determinant"),
        (torch.ones(3, 2), torch.zeros(3, 2), {}, r"within \(-1, 1\); 3 of 3"),
    ],
)
def test_d7_what_cannot_be_carried_is_refused(
    state: Tensor, score: Tensor, settings_: dict[str, str], what: str
) -> None:
    with pytest.raises(ValueError, match=what):
        transform_score(Inverted(bijection=Tanh()), state, score, **settings_)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("kind", ["tanh", "arcsinh", "arctan", "power", "power-negative"])
def test_many_points_in_one_compiled_pass_are_few_in_torch(
    random_case: RandomCase, kind: str, dtype: torch.dtype
) -> None:
    bijection, state = random_case(kind, 5)
    many = state.repeat(SMALLEST // state.numel() + 1, 1).to(dtype)
    score = torch.randn(many.shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
    assert fused_carry(bijection, bijection.carry_score, state, state) is None
    image, carried = bijection.carry_score(many, score)
    tolerance = {"rtol": 2e-5, "atol": 2e-5} if dtype == torch.float32 else {"rtol": 1e-12, "atol": 1e-12}
    for together, apart in (
        (image, bijection.forward(many)),
        (carried, Bijection.push_score(bijection, many, score)),
        (bijection.push_score(many, score), carried),
        (bijection.return_score(image, carried)[0], many),
    ):
        torch.testing.assert_close(together, apart, **tolerance)
    outside = torch.full_like(many, torch.nan)
    outside[0] = torch.inf
    with pytest.raises(ValueError, match=type(bijection).__name__):
        bijection.carry_score(outside, score)
