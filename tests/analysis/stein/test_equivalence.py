"""A discrepancy with the field of a map is that after the map, for operators, kernels and divergences."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from analysis.stein import (
    BaseKernel,
    FlowField,
    GaussianKernel,
    InverseMultiquadricKernel,
    MatrixField,
    MetricField,
    SteinFeatures,
    stein_matrix,
    stein_operator,
)
from physcore.mixture import GaussianMixture
from physcore.transform import Bijection, transform_score

Case = tuple[Bijection, Tensor, GaussianMixture, GaussianMixture]
CaseOf = Callable[[str, int], Case]

properties = settings(max_examples=10, deadline=None, database=None, derandomize=True)
seeds = st.integers(0, 2**31)
kernels = st.sampled_from(
    [InverseMultiquadricKernel(bandwidth=1.3), InverseMultiquadricKernel(bandwidth=0.8, exponent=0.3),
     GaussianKernel(bandwidth=1.1)]
)  # fmt: skip


def close(first: Tensor, second: Tensor) -> None:
    """Hold two results within 1e-10 of their size, 1 at least: scores near a boundary are large."""
    assert float(((first - second) / (1 + second.abs())).abs().max()) < 1e-10


def wave(seed: int, d: int) -> Callable[[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(seed)
    turns = torch.randn(d, d, generator=generator, dtype=torch.float64)
    return lambda y: torch.sin(y @ turns) + 0.1 * y * y.sum(-1, keepdim=True)


def inverse_jacobian(bijection: Bijection, state: Tensor) -> Tensor:
    columns = [torch.autograd.functional.jacobian(bijection.forward, x) for x in state]
    return torch.linalg.inv(torch.stack(columns))


def test_the_operator_after_a_map_is_that_with_its_field(kind: str, case_of: CaseOf) -> None:
    @properties
    @given(seeds)
    def check(seed: int) -> None:
        bijection, state, law, _ = case_of(kind, seed)
        score = law.score(state)
        function = wave(seed, state.shape[-1])
        after = stein_operator(function, bijection.forward(state), transform_score(bijection, state, score))
        before = stein_operator(lambda x: function(bijection.forward(x)), state, score, bijection)
        close(before, after)

    check()


def test_the_kernel_after_a_map_is_that_with_its_field(kind: str, case_of: CaseOf) -> None:
    @properties
    @given(seeds, kernels)
    def check(seed: int, kernel: BaseKernel) -> None:
        bijection, state, law, _ = case_of(kind, seed)
        score = law.score(state)
        after = SteinFeatures(bijection.forward(state), transform_score(bijection, state, score))
        before = FlowField(bijection=bijection).features(state, score)
        close(stein_matrix(kernel, before, before), stein_matrix(kernel, after, after))

    check()


def test_the_field_of_a_map_is_its_inverse_jacobian(kind: str, case_of: CaseOf) -> None:
    """Its columns and its Stein score are what brute force finds."""

    @settings(properties, max_examples=4)
    @given(seeds, kernels)
    def check(seed: int, kernel: BaseKernel) -> None:
        bijection, state, law, _ = case_of(kind, seed)
        state, score = state[:4], law.score(state[:4])
        matrices = inverse_jacobian(bijection, state)
        close(FlowField(bijection=bijection).columns(state), matrices)
        flow = FlowField(bijection=bijection, pulled_back=False).features(state, score)
        plain = SteinFeatures(state, transform_score(bijection, state, score), matrices)
        close(stein_matrix(kernel, flow, flow), stein_matrix(kernel, plain, plain))

    check()


@pytest.mark.parametrize("kind", ["affine", "arcsinh", "chain"], indirect=False)
def test_a_field_given_as_a_function_agrees_with_that_of_the_map(kind: str, case_of: CaseOf) -> None:
    @settings(properties, max_examples=4)
    @given(seeds, kernels)
    def check(seed: int, kernel: BaseKernel) -> None:
        bijection, state, law, _ = case_of(kind, seed)
        score, flow = law.score(state), FlowField(bijection=bijection, pulled_back=False)
        function = MatrixField(function=flow.columns)
        first, second = flow.features(state, score), function.features(state, score)
        close(second.scores, first.scores)
        close(stein_matrix(kernel, second, second), stein_matrix(kernel, first, first))

    check()


def test_the_fisher_divergence_after_a_map_is_that_with_its_field(kind: str, case_of: CaseOf) -> None:
    @properties
    @given(seeds)
    def check(seed: int) -> None:
        bijection, state, first, second = case_of(kind, seed)
        scores = [law.score(state) for law in (first, second)]
        after = transform_score(bijection, state, scores[0]) - transform_score(bijection, state, scores[1])
        before = FlowField(bijection=bijection).transposed(state, scores[0] - scores[1])
        close(before.square().sum(-1), after.square().sum(-1))

    check()


def test_the_metric_of_a_map_has_its_divergence(case_of: CaseOf) -> None:
    bijection, state, first, second = case_of("chain", 5)

    def metric(x: Tensor) -> Tensor:
        inverse = FlowField(bijection=bijection).columns(x)
        return torch.linalg.inv(inverse @ inverse.mT)

    apart = first.score(state) - second.score(state)
    field = MetricField(metric=metric)
    close(field.transposed(state, apart).square().sum(-1), bijection.inverse_pull(state, apart).square().sum(-1))
    matrices = field.columns(state)
    close(matrices @ matrices.mT, torch.linalg.inv(metric(state)))


def test_a_transposed_field_is_wrong(case_of: CaseOf) -> None:
    bijection, state, law, _ = case_of("affine", 4)
    score = law.score(state)
    flow = FlowField(bijection=bijection, pulled_back=False)
    wrong = MatrixField(function=lambda x: flow.columns(x).mT)
    with pytest.raises(AssertionError):
        close(wrong.features(state, score).scores, flow.features(state, score).scores)
